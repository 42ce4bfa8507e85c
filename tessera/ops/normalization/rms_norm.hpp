#pragma once

#include <optional>

#include "tessera/ops/op.hpp"

namespace tessera::ops {

struct RmsNormOptions {
  float epsilon = 1e-5F;
  std::optional<DataType> dtype;             ///< of the output; the input's by default
  std::optional<MemoryConfig> memory_config; ///< of the output; the input's by default
};

/// x / sqrt(mean(x^2) + epsilon) * weight over the last dimension, in fp32 (Zhang and Sennrich, 2019).
/// input_tensor [..., R, E] TILE, weight [1, 1, 1, E] TILE -> [..., R, E].
Tensor rms_norm(const Tensor& input_tensor, const Tensor& weight, const RmsNormOptions& options);

} // namespace tessera::ops
