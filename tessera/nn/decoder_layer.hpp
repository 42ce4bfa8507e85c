#pragma once

#include "tessera/nn/attention.hpp"
#include "tessera/nn/mlp.hpp"
#include "tessera/nn/norm.hpp"

namespace tessera::nn {

/// x + attention(norm(x)), then + mlp(norm(.)), on a residual stream x [1, 1, R, E]; in a parallel layer the MLP reads
/// x too (Wang and Komatsuzaki, "GPT-J-6B").
struct DecoderLayer {
  Norm input_norm;
  Attention attention;
  Norm post_attention_norm; ///< the MLP's; without a weight: it reads what the attention reads
  Mlp mlp;
  bool parallel_residual = false;

  tensor::Tensor forward(const tensor::Tensor& x, const ForwardContext& context) const;
};

} // namespace tessera::nn
