#include "tessera/bringup/estimate.hpp"

#include <algorithm>
#include <numeric>

namespace tessera::bringup {

Estimate::Estimate(std::vector<std::int64_t> work) : work_(std::move(work)) {}

void Estimate::advance(std::int64_t positions) {
  done_in_stage_ = std::min(done_in_stage_ + positions, work_.at(stage_));
}

void Estimate::finish_stage() {
  done_before_ += work_.at(stage_++);
  done_in_stage_ = 0;
}

double Estimate::stage_fraction() const {
  return stage_ < work_.size() && work_[stage_] > 0
             ? static_cast<double>(done_in_stage_) / static_cast<double>(work_[stage_])
             : 0.0;
}

std::optional<double> Estimate::seconds_left() const {
  const std::int64_t done = done_before_ + done_in_stage_;
  if (done == 0) return std::nullopt;
  const std::int64_t total = std::accumulate(work_.begin(), work_.end(), std::int64_t{0});
  const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  return elapsed * static_cast<double>(total - done) / static_cast<double>(done);
}

} // namespace tessera::bringup
