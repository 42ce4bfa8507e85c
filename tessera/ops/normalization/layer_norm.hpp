#pragma once

#include <optional>

#include "tessera/ops/op.hpp"

namespace tessera::ops {

struct LayerNormOptions {
  float epsilon = 1e-5F;
  Tensor weight;                             ///< [1, 1, 1, E] TILE; ones when absent
  Tensor bias;                               ///< [1, 1, 1, E] TILE; zeros when absent
  std::optional<DataType> dtype;             ///< of the output; the input's by default
  std::optional<MemoryConfig> memory_config; ///< of the output; the input's by default
};

/// (x - mean) / sqrt(variance + epsilon) * weight + bias over the last dimension (Ba et al., "Layer Normalization"):
/// the sums in double precision, the rest in fp32. input_tensor [..., R, E] TILE -> [..., R, E].
Tensor layer_norm(const Tensor& input_tensor, const LayerNormOptions& options);

} // namespace tessera::ops
