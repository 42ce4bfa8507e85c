#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace tessera::bringup {

/// Time left, from the time that the work so far has taken. Work is counted in token positions; a stage that turns out
/// longer or shorter than estimated counts with its estimate once it has ended.
class Estimate {
 public:
  /// `work` of each stage to be run.
  explicit Estimate(std::vector<std::int64_t> work);

  void advance(std::int64_t positions);
  void finish_stage();

  /// Done part of the current stage, 0..1.
  double stage_fraction() const;
  /// Nothing before any work has been done.
  std::optional<double> seconds_left() const;

 private:
  std::vector<std::int64_t> work_;
  std::size_t stage_ = 0;
  std::int64_t done_before_ = 0; // work of finished stages
  std::int64_t done_in_stage_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

} // namespace tessera::bringup
