#pragma once

#include "tessera/nn/attention.hpp"
#include "tessera/nn/experts.hpp"
#include "tessera/nn/mlp.hpp"
#include "tessera/nn/norm.hpp"

namespace tessera::nn {

/// x + attention(norm(x)), then + mlp(norm(.)), on a residual stream x [1, 1, R, E]; in a parallel layer the MLP reads
/// x too (Wang and Komatsuzaki, "GPT-J-6B"); with output norms both are normed again before they are added.
struct DecoderLayer {
  Norm input_norm;
  Attention attention;
  Norm attention_output_norm; ///< without a weight: none
  Norm post_attention_norm;   ///< the MLP's; without a weight: it reads what the attention reads
  Mlp mlp;
  Experts experts;      ///< in place of the MLP, where there are any
  Norm mlp_output_norm; ///< without a weight: none
  bool parallel_residual = false;

  tensor::Tensor forward(const tensor::Tensor& x, const ForwardContext& context) const;
  /// The MLP or the mixture of experts.
  tensor::Tensor feed_forward(const tensor::Tensor& x, const ForwardContext& context) const {
    return experts.w1.empty() ? mlp.forward(x, context) : experts.forward(x, context);
  }
};

} // namespace tessera::nn
