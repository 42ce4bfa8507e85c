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
  const tensor::Tensor normed = named(x, "input_norm", [&] { return input_norm.forward(x, context); });
  tensor::Tensor attended = named(x, "attention", [&] { return attention.forward(normed, context); });
  if (attention_output_norm.weight.defined()) {
    attended =
        named(x, "attention_output_norm", [&] { return attention_output_norm.forward_residual(attended, context); });
  }
  const tensor::Tensor residual = ops::add(x, attended);
  const tensor::Tensor mlp_input =
      !post_attention_norm.weight.defined() ? normed : named(x, "post_attention_norm", [&] {
        return post_attention_norm.forward(parallel_residual ? x : residual, context);
      });
  tensor::Tensor expanded = named(x, "mlp", [&] { return feed_forward(mlp_input, context); });
  if (mlp_output_norm.weight.defined()) {
    expanded = named(x, "mlp_output_norm", [&] { return mlp_output_norm.forward_residual(expanded, context); });
  }
  return ops::add(residual, expanded);
}

} // namespace tessera::nn
