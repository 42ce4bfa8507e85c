#pragma once

#include <cstddef>
#include <vector>

#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/reference/decoder_parameters.hpp"

namespace tessera::reference {

/// A decoder's weights, widened to fp32 when they are first used. What fits the budget stays (embedding and LM head
/// first, then layers in order); the rest is widened at each use and released by the caller.
class WeightStore {
 public:
  /// Throws IoError for missing weights, wrong shapes and integer dtypes. `budget_bytes` 0: half of the free memory.
  WeightStore(checkpoint::Checkpoint checkpoint, const DecoderDescription& model, std::size_t budget_bytes);

  /// ids [B, S] → [B, S, E]
  at::Tensor embed(const at::Tensor& ids);
  /// Rows first .. first + count - 1 of the table of positions: [count, E].
  at::Tensor positions(std::int64_t first, std::int64_t count);
  LayerWeights layer(std::int64_t index);
  NormWeights final_norm();
  /// x [.., E] → [.., V]; a head that does not fit is widened a block of rows at a time.
  at::Tensor lm_head(const at::Tensor& x);

  bool streams() const { return !outer_resident_ || resident_layers_ < static_cast<std::int64_t>(layers_.size()); }

 private:
  at::Tensor widen(const std::string& name) const;
  at::Tensor widen_rows(const std::string& name, std::int64_t first, std::int64_t count) const;
  void require_weight(const Parameter& parameter) const;
  void fill(const Parameter& parameter) const;
  void plan_residency(std::size_t budget_bytes);
  std::string embedding_name() const { return names_.embedding + ".weight"; }
  std::string lm_head_name() const { return model_.tied ? embedding_name() : names_.lm_head + ".weight"; }

  checkpoint::Checkpoint checkpoint_;
  DecoderDescription model_;
  WeightNames names_;
  OuterWeights outer_;
  std::vector<LayerWeights> layers_; // undefined tensors until first used
  bool outer_resident_ = false;
  std::int64_t resident_layers_ = 0;
};

} // namespace tessera::reference
