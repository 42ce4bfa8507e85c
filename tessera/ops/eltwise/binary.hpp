#pragma once

#include <optional>

#include "tessera/ops/eltwise/activation.hpp"
#include "tessera/ops/op.hpp"

namespace tessera::ops {

struct BinaryOptions {
  Activation input_tensor_a_activation = Activation::NONE; ///< applied to input_tensor_a first
  std::optional<DataType> dtype;                           ///< of the output; that of input_tensor_a by default
  std::optional<MemoryConfig> memory_config;               ///< of the output; that of input_tensor_a by default
};

/// Element-wise sum of two tensors of one shape, TILE layout, in fp32, rounded once. input_tensor_b may be a matrix
/// with fewer rows, a divisor of a's: they repeat.
Tensor add(const Tensor& input_tensor_a, const Tensor& input_tensor_b, const BinaryOptions& options = {});
/// Element-wise product; with SILU: silu(a) * b, the gate of SwiGLU; with GELU: of GeGLU (Shazeer, "GLU Variants
/// Improve Transformer").
Tensor mul(const Tensor& input_tensor_a, const Tensor& input_tensor_b, const BinaryOptions& options = {});

} // namespace tessera::ops
