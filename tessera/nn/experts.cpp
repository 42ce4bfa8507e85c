#include "tessera/nn/experts.hpp"

#include "tessera/ops/eltwise/binary.hpp"
#include "tessera/ops/moe/grouped_linear.hpp"

namespace tessera::nn {

tensor::Tensor Experts::forward(const tensor::Tensor& x, const ForwardContext& context) const {
  const TensorParallel& parallel = context.parallel;
  // Rows of experts are more than one tile high, and as many as the routing says: they are not sharded.
  const MemoryConfig of_experts{.buffer_type = context.memory_config.buffer_type};
  const auto options = [&](const ComputeByPhase& compute) {
    return ops::LinearOptions{
        .dtype = context.activation, .memory_config = of_experts, .compute_kernel_config = context.of_phase(compute)};
  };
  // Two experts may be close: the router's logits are not rounded.
  const tensor::Tensor logits = parallel.sum_columns(
      ops::linear(x, router.weight, {.dtype = DataType::FLOAT32, .memory_config = context.memory_config}));
  const ops::Routing routing = ops::moe_routing(logits, per_token);
  const auto into = [&](const std::vector<tensor::Tensor>& weights) {
    return parallel.sum_columns(
        ops::grouped_linear(x, ops::GroupedInput::GATHER, weights, routing, options(compute_ff1_3)));
  };
  const auto hidden = [&] {
    const tensor::Tensor gate = into(w1);
    const tensor::Tensor up = into(w3);
    return ops::mul(gate, up, {.input_tensor_a_activation = activation});
  };
  const tensor::Tensor y = ops::grouped_linear(hidden(), ops::GroupedInput::PLACES, w2, routing, options(compute_ff2));
  return parallel.sum_rows(ops::moe_combine(y, routing, context.memory_config));
}

} // namespace tessera::nn
