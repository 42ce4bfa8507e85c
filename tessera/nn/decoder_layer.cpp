#include "tessera/nn/decoder_layer.hpp"

#include <utility>

#include "tessera/ops/eltwise/binary.hpp"

namespace tessera::nn {
namespace {

/// Calls a module's forward function under its name.
template <typename Forward>
tensor::Tensor named(const tensor::Tensor& x, std::string_view name, Forward&& forward) {
  const runtime::Scope scope(x.device(), name);
  return forward();
}

} // namespace

tensor::Tensor DecoderLayer::forward(const tensor::Tensor& x, const ForwardContext& context) const {
  tensor::Tensor normed = named(x, "input_norm", [&] { return input_norm.forward(x, context); });
  const tensor::Tensor attended = named(x, "attention", [&] { return attention.forward(normed, context); });
  const tensor::Tensor residual = ops::add(x, attended);
  normed = named(x, "post_attention_norm", [&] { return post_attention_norm.forward(residual, context); });
  const tensor::Tensor expanded = named(x, "mlp", [&] { return mlp.forward(normed, context); });
  return ops::add(residual, expanded);
}

} // namespace tessera::nn
