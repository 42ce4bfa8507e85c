#pragma once

#include "tessera/nn/linear.hpp"

namespace tessera::nn {

/// SwiGLU: w2(silu(w1 x) * w3 x), with x [1, 1, R, E] and a width of F, of which each chip has its part. Takes a
/// module's input, gives a residual stream (TensorParallel).
struct Mlp {
  Linear w1; ///< gate, [E, F]
  Linear w3; ///< up, [E, F]
  Linear w2; ///< down, [F, E]

  tensor::Tensor forward(const tensor::Tensor& x, const ForwardContext& context) const;
};

} // namespace tessera::nn
