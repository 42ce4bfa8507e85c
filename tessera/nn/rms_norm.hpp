#pragma once

#include "tessera/nn/forward_context.hpp"

namespace tessera::nn {

/// Root mean square norm of each row. Takes a residual stream [1, 1, R, E], gives a module's input (TensorParallel).
struct RmsNorm {
  tensor::Tensor weight; ///< [1, 1, 1, E], each chip's part
  float epsilon = 1e-5F;

  tensor::Tensor forward(const tensor::Tensor& x, const ForwardContext& context) const;
};

} // namespace tessera::nn
