#pragma once

#include "tessera/nn/linear.hpp"
#include "tessera/ops/eltwise/activation.hpp"

namespace tessera::nn {

/// w2(activation(w1 x) * w3 x), SwiGLU and its kin, or without a gate w2(gelu(w3 x)); x [1, 1, R, E] and a width of F,
/// of which each chip has its part. Takes a module's input, gives a residual stream (TensorParallel).
struct Mlp {
  Linear w1;                                          ///< gate, [E, F]; without a weight: none
  Linear w3;                                          ///< up, [E, F]
  Linear w2;                                          ///< down, [F, E]
  ops::Activation activation = ops::Activation::SILU; ///< without a gate: GELU or GELU_TANH

  tensor::Tensor forward(const tensor::Tensor& x, const ForwardContext& context) const;

 private:
  tensor::Tensor hidden(const tensor::Tensor& x, const ForwardContext& context) const; // [1, 1, R, F]
};

} // namespace tessera::nn
