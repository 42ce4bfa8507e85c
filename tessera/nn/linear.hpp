#pragma once

#include "tessera/nn/forward_context.hpp"
#include "tessera/nn/precision.hpp"
#include "tessera/ops/matmul/linear.hpp"

namespace tessera::nn {

/// y = x W + b: x [1, 1, R, K] -> [1, 1, R, N].
struct Linear {
  tensor::Tensor weight; ///< [1, 1, K, N]
  tensor::Tensor bias;   ///< [1, 1, 1, N], or none
  ComputeByPhase compute = {};

  tensor::Tensor forward(const tensor::Tensor& x, const ForwardContext& context) const {
    return ops::linear(x, weight,
                       {.bias = bias,
                        .dtype = context.activation,
                        .memory_config = context.memory_config,
                        .compute_kernel_config = context.of_phase(compute)});
  }
};

} // namespace tessera::nn
