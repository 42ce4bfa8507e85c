#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace tessera::cli {

/// One line on a terminal's standard error that says how far long work is and how long the rest will take; nothing in a
/// pipe, and nothing for work that ends soon. The line is wiped at the end.
class Progress {
 public:
  explicit Progress(std::string what);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// The time left is what `done` of `total` took, scaled to the rest.
  void update(std::int64_t done, std::int64_t total);
  /// The same with what is being done now and an estimate of the caller's.
  void update(const std::string& now, double fraction, double seconds_left);

 private:
  using Clock = std::chrono::steady_clock;

  std::string what_;
  bool on_terminal_;
  bool shown_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point last_shown_{};
};

} // namespace tessera::cli
