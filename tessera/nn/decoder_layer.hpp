#pragma once

#include "tessera/nn/attention.hpp"
#include "tessera/nn/mlp.hpp"
#include "tessera/nn/rms_norm.hpp"

namespace tessera::nn {

/// x + attention(norm(x)), then + mlp(norm(.)), on a residual stream x [1, 1, R, E].
struct DecoderLayer {
  RmsNorm input_norm;
  Attention attention;
  RmsNorm post_attention_norm;
  Mlp mlp;

  tensor::Tensor forward(const tensor::Tensor& x, const ForwardContext& context) const;
};

} // namespace tessera::nn
