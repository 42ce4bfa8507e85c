#include "tessera/nn/norm.hpp"

#include "tessera/ops/normalization/distributed_norm.hpp"
#include "tessera/ops/normalization/layer_norm.hpp"
#include "tessera/ops/normalization/rms_norm.hpp"

namespace tessera::nn {

tensor::Tensor Norm::forward(const tensor::Tensor& x, const ForwardContext& context) const {
  return context.parallel.gather_input(forward_residual(x, context));
}

tensor::Tensor Norm::forward_residual(const tensor::Tensor& x, const ForwardContext& context) const {
  const TensorParallel& parallel = context.parallel;
  const std::int64_t width = parallel.hidden_size();
  if (kind == NormKind::RMS) {
    if (parallel.hidden_ways() == 1) return ops::rms_norm(x, weight, {.epsilon = epsilon});
    const tensor::Tensor statistics = parallel.gather_statistics(ops::rms_norm_pre_all_gather(x));
    return ops::rms_norm_post_all_gather(x, statistics, weight, {.epsilon = epsilon, .width = width});
  }
  if (parallel.hidden_ways() == 1) return ops::layer_norm(x, {.epsilon = epsilon, .weight = weight, .bias = bias});
  const tensor::Tensor statistics = parallel.gather_statistics(ops::layer_norm_pre_all_gather(x));
  return ops::layer_norm_post_all_gather(x, statistics, weight, {.epsilon = epsilon, .width = width, .bias = bias});
}

} // namespace tessera::nn
