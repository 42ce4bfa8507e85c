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

/// A module's output, normed where the model has a norm for it.
tensor::Tensor output_normed(const tensor::Tensor& y, const Norm& norm, std::string_view name,
                             const ForwardContext& context) {
  return norm.weight.defined() ? named(y, name, [&] { return norm.forward_residual(y, context); }) : y;
}

} // namespace

// A step's L1 holds only what is still needed: outputs of modules end with the statement that adds them.
tensor::Tensor DecoderLayer::forward(const tensor::Tensor& x, const ForwardContext& context) const {
  tensor::Tensor normed = named(x, "input_norm", [&] { return input_norm.forward(x, context); });
  const tensor::Tensor residual =
      ops::add(x, output_normed(named(x, "attention", [&] { return attention.forward(normed, context); }),
                                attention_output_norm, "attention_output_norm", context));
  if (post_attention_norm.weight.defined()) {
    normed = {};
    normed = named(x, "post_attention_norm",
                   [&] { return post_attention_norm.forward(parallel_residual ? x : residual, context); });
  }
  return ops::add(residual, output_normed(named(x, "mlp", [&] { return feed_forward(normed, context); }),
                                          mlp_output_norm, "mlp_output_norm", context));
}

} // namespace tessera::nn
