#pragma once

#include <optional>

#include "tessera/ops/eltwise/activation.hpp"
#include "tessera/ops/op.hpp"

namespace tessera::ops {

struct LinearOptions {
  Tensor bias;                                        ///< [1, 1, 1, N] TILE, or none
  Activation activation = Activation::NONE;           ///< of what it gives, before it is rounded
  DataType dtype = DataType::BFLOAT16;                ///< of the output
  std::optional<MemoryConfig> memory_config;          ///< of the output; the input's by default
  std::optional<ComputeConfig> compute_kernel_config; ///< by default what suits the weight's format
};

/// activation(input_tensor_a [1, 1, M, K] x weight [1, 1, K, N] + bias) -> [1, 1, M, N]; all TILE, of any
/// floating-point formats. Exact products of the stored values, fp32 accumulation in one order over k: a row's result
/// does not depend on M. But for BFLOAT4_B weights at LoFi, which are multiplied as 8-bit integers from
/// Kernels::int8_least_rows rows on: within about 1 % of the exact products' norm.
Tensor linear(const Tensor& input_tensor_a, const Tensor& weight, const LinearOptions& options);

} // namespace tessera::ops
