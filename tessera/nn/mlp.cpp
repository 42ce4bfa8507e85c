#include "tessera/nn/mlp.hpp"

#include "tessera/ops/eltwise/binary.hpp"

namespace tessera::nn {

tensor::Tensor Mlp::forward(const tensor::Tensor& x, const ForwardContext& context) const {
  const tensor::Tensor gate = context.parallel.sum_columns(w1.forward(x, context)); // [1, 1, R, F]
  const tensor::Tensor up = context.parallel.sum_columns(w3.forward(x, context));
  const tensor::Tensor product = ops::mul(gate, up, {.input_tensor_a_activation = ops::Activation::SILU});
  return context.parallel.sum_rows(w2.forward(product, context));
}

} // namespace tessera::nn
