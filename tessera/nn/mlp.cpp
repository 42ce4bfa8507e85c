#include "tessera/nn/mlp.hpp"

#include "tessera/ops/eltwise/binary.hpp"
#include "tessera/ops/eltwise/unary.hpp"

namespace tessera::nn {

tensor::Tensor Mlp::forward(const tensor::Tensor& x, const ForwardContext& context) const {
  return context.parallel.sum_rows(w2.forward(hidden(x, context), context));
}

tensor::Tensor Mlp::hidden(const tensor::Tensor& x, const ForwardContext& context) const {
  if (!w1.weight.defined()) {
    const tensor::Tensor up = context.parallel.sum_columns(w3.forward(x, context));
    return ops::gelu(up, {.fast_and_approximate_mode = activation == ops::Activation::GELU_TANH});
  }
  const tensor::Tensor gate = context.parallel.sum_columns(w1.forward(x, context));
  const tensor::Tensor up = context.parallel.sum_columns(w3.forward(x, context));
  return ops::mul(gate, up, {.input_tensor_a_activation = activation});
}

} // namespace tessera::nn
