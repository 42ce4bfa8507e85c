#pragma once

#include "tessera/nn/decoder_config.hpp"
#include "tessera/nn/forward_context.hpp"

namespace tessera::nn {

/// Norm of each row of a residual stream [1, 1, R, E] (TensorParallel).
struct Norm {
  NormKind kind = NormKind::RMS;
  tensor::Tensor weight; ///< [1, 1, 1, E], each chip's part
  tensor::Tensor bias;   ///< the same, LAYER only
  float epsilon = 1e-5F;

  /// Gives a module's input.
  tensor::Tensor forward(const tensor::Tensor& x, const ForwardContext& context) const;
  /// Gives a residual stream.
  tensor::Tensor forward_residual(const tensor::Tensor& x, const ForwardContext& context) const;
};

} // namespace tessera::nn
