#include "apps/cli/progress.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace tessera::cli {
namespace {

constexpr std::chrono::milliseconds kQuietTime{1000};
constexpr std::chrono::milliseconds kInterval{200};

std::string duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  return whole < 120 ? fmt::format("{} s", whole) : fmt::format("{} min", (whole + 30) / 60);
}

} // namespace

Progress::Progress(std::string what) : what_(std::move(what)), on_terminal_(::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (!shown_) return;
  fmt::print(stderr, "\r\033[K");
  std::fflush(stderr);
}

void Progress::update(std::int64_t done, std::int64_t total) {
  if (done <= 0 || total <= 0) return;
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const double left = seconds / static_cast<double>(done) * static_cast<double>(total - done);
  update(fmt::format("{} of {}", done, total), static_cast<double>(done) / static_cast<double>(total), left);
}

void Progress::update(const std::string& now, double fraction, double seconds_left) {
  const auto time = Clock::now();
  if (!on_terminal_ || time - start_ < kQuietTime || time - last_shown_ < kInterval) return;
  last_shown_ = time;
  shown_ = true;
  fmt::print(stderr, "\r\033[K{}: {} ({:.0f} %), {} left", what_, now, 100.0 * fraction, duration(seconds_left));
  std::fflush(stderr);
}

} // namespace tessera::cli
