#pragma once

#include <vector>

#include "tessera/nn/linear.hpp"
#include "tessera/ops/eltwise/activation.hpp"

namespace tessera::nn {

/// A mixture of experts (Jiang et al., "Mixtral of Experts"): each row of x [1, 1, R, E] goes through the best few of
/// several gated MLPs, chosen by a router and weighted by its softmax over those. Chips share each expert's width as
/// they share an MLP's; every chip routes alike. Takes a module's input, gives a residual stream (TensorParallel).
struct Experts {
  Linear router;                  ///< [E, X]
  std::vector<tensor::Tensor> w1; ///< gate, [E, F] of each expert; none: there is no mixture
  std::vector<tensor::Tensor> w3; ///< up, [E, F]
  std::vector<tensor::Tensor> w2; ///< down, [F, E]
  std::int64_t per_token = 2;
  ops::Activation activation = ops::Activation::SILU;
  ComputeByPhase compute_ff1_3 = {};
  ComputeByPhase compute_ff2 = {};

  tensor::Tensor forward(const tensor::Tensor& x, const ForwardContext& context) const;
};

} // namespace tessera::nn
