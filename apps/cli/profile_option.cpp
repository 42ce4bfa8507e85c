#include "apps/cli/profile_option.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "apps/cli/interrupt.hpp"
#include "apps/cli/machine_limits.hpp"
#include "apps/cli/ranks.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/kernels/kernels.hpp"
#include "tessera/profile/trace_events.hpp"

namespace tessera::cli {
namespace {

// Beyond the caches of most machines, and small beside a model: a profile is no reason to run out of memory.
constexpr std::size_t kLimitsBuffer = std::size_t{256} << 20;

/// The command line of this process, words with spaces in quotes.
std::string command_line() {
  std::ifstream words("/proc/self/cmdline");
  std::string line;
  for (std::string word; std::getline(words, word, '\0');) {
    const bool plain = !word.empty() && word.find_first_of(" \t\n\"'") == std::string::npos;
    line += fmt::format("{}{}", line.empty() ? "" : " ", plain ? word : fmt::format("'{}'", word));
  }
  return line;
}

/// Found out before the work, not after it.
std::string complaint_about(const std::string& file) {
  std::error_code error;
  return std::filesystem::is_directory(file, error) ? fmt::format("a file is required; {} is a folder", file) : "";
}

} // namespace

void ProfileOption::add(CLI::App& app) {
  app.add_option("--profile", file_, "Record what ran and when, for Perfetto and for tessera profile")
      ->check(complaint_about)
      ->type_name("FILE.json");
}

ProfileRecording::ProfileRecording(const ProfileOption& option, std::vector<runtime::MeshDevice*> devices,
                                   const ModelOptions& options, std::string model)
    : file_(option.file()),
      devices_(std::move(devices)),
      origin_{.version = TESSERA_VERSION,
              .command = command_line(),
              .model = std::move(model),
              .board = options.board,
              .precision = options.precision,
              .numerics = options.numerics,
              .isa = std::string(kernels::kernels().isa),
              .threads = devices_.front()->queue().threads(),
              .chips = devices_.front()->chips() * static_cast<std::int64_t>(devices_.size())} {
  if (file_.empty()) return;
  profiler_ = std::make_unique<profile::Profiler>(profile::Profiler::kMaxEvents, true);
  for (runtime::MeshDevice* device : devices_) profiler_->attach(*device);
}

ProfileRecording::~ProfileRecording() {
  stop();
}

void ProfileRecording::stop() {
  if (profiler_ == nullptr) return;
  profiler_->end_stage();
  for (runtime::MeshDevice* device : devices_) profiler_->detach(*device);
}

void ProfileRecording::begin_stage(const std::string& name) {
  if (profiler_ == nullptr || name == stage_) return;
  profiler_->begin_stage(name);
  stage_ = name;
}

void ProfileRecording::end_stage() {
  if (profiler_ != nullptr) profiler_->end_stage();
  stage_.clear();
}

void ProfileRecording::write() {
  if (profiler_ == nullptr || !Ranks::is_first()) return;
  stop();
  profile::Profile profile = profiler_->profile();
  profile.origin = origin_;
  if (!InterruptGuard::flag()) {
    const MachineLimits limits(static_cast<int>(origin_.threads), kLimitsBuffer);
    profile.origin.read_bytes_per_s = limits.read_bytes_per_s();
    profile.origin.flop_per_s = limits.peak_flops();
    profile.origin.cache_bytes = MachineLimits::cache_bytes();
  }
  profile::write_trace_events(profile, std::filesystem::path(file_));
  if (profile.dropped > 0) {
    write_note(fmt::format("the profile was full: {} later events are not in it", profile.dropped));
  }
  write_note(fmt::format("the profile lies in {}; open it in Perfetto, or run: tessera profile {}", file_, file_));
}

} // namespace tessera::cli
