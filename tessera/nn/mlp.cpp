#include "tessera/nn/mlp.hpp"

#include "tessera/ops/eltwise/binary.hpp"

namespace tessera::nn {

tensor::Tensor Mlp::forward(const tensor::Tensor& x, const ForwardContext& context) const {
  const tensor::Tensor gate = w1.forward(x, context); // [1, 1, R, F]
  const tensor::Tensor up = w3.forward(x, context);
  return w2.forward(ops::mul(gate, up, {.input_tensor_a_activation = ops::Activation::SILU}), context);
}

} // namespace tessera::nn
