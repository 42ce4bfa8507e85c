#pragma once

#include "tessera/nn/decoder_config.hpp"
#include "tessera/nn/forward_context.hpp"

namespace tessera::nn {

/// Norm of each row. Takes a residual stream [1, 1, R, E], gives a module's input (TensorParallel).
struct Norm {
  NormKind kind = NormKind::RMS;
  tensor::Tensor weight; ///< [1, 1, 1, E], each chip's part
  tensor::Tensor bias;   ///< the same, LAYER only
  float epsilon = 1e-5F;

  tensor::Tensor forward(const tensor::Tensor& x, const ForwardContext& context) const;
};

} // namespace tessera::nn
