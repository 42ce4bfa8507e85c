#pragma once

#include <filesystem>
#include <utility>
#include <vector>

#include "tessera/perfmodel/calibration.hpp"
#include "tessera/perfmodel/step.hpp"

namespace tessera::bench {

/// A published decode speed with the ops of its step, recorded once: predicting it again is cheap.
class DecodeRow {
 public:
  /// Records the row's model, its configuration taken from `configs`, on its board.
  DecodeRow(const perfmodel::ModelRow& row, const std::filesystem::path& configs);

  const perfmodel::ModelRow& published() const { return row_; }
  double predict_tokens_per_s(const perfmodel::Constants& constants) const;
  double predict_ttft_ms(const perfmodel::Constants& constants) const;

 private:
  using Ops = std::vector<std::pair<OpRecord, std::int64_t>>; // each kind once, with how often it comes

  perfmodel::StepTime time_of(const Ops& ops, const perfmodel::Constants& constants) const;

  perfmodel::ModelRow row_;
  BoardSpec mesh_;
  perfmodel::StepRun run_;
  perfmodel::Conditions conditions_;
  Ops prefill_;
  Ops decode_;
};

} // namespace tessera::bench
