#include "tessera/nn/rms_norm.hpp"

#include "tessera/ops/normalization/distributed_norm.hpp"
#include "tessera/ops/normalization/rms_norm.hpp"

namespace tessera::nn {

tensor::Tensor RmsNorm::forward(const tensor::Tensor& x, const ForwardContext& context) const {
  const TensorParallel& parallel = context.parallel;
  if (parallel.hidden_ways() == 1) return ops::rms_norm(x, weight, {.epsilon = epsilon});
  const tensor::Tensor statistics = parallel.gather_statistics(ops::rms_norm_pre_all_gather(x));
  return parallel.gather_input(
      ops::rms_norm_post_all_gather(x, statistics, weight, {.epsilon = epsilon, .width = parallel.hidden_size()}));
}

} // namespace tessera::nn
