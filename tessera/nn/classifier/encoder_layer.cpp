#include "tessera/nn/classifier/encoder_layer.hpp"

#include <cmath>

#include "tessera/ops/matmul/linear.hpp"
#include "tessera/ops/normalization/layer_norm.hpp"
#include "tessera/ops/transformer/attention.hpp"
#include "tessera/ops/transformer/heads.hpp"

namespace tessera::nn {
namespace {

/// Vectors 1 x N one behind the other.
HostRows join_vectors(const std::vector<HostRows>& parts) {
  std::int64_t columns = 0;
  for (const HostRows& part : parts) columns += part.columns;
  if (!parts.front().read) return {.rows = 1, .columns = columns};
  tensor::HostTensor joined{{1, columns}, {}};
  for (const HostRows& part : parts) {
    joined.data.resize(joined.data.size() + static_cast<std::size_t>(part.columns));
    part.read(0, 0, part.columns, joined.data.data() + std::ssize(joined.data) - part.columns);
  }
  return tensor::rows_of(std::move(joined));
}

} // namespace

EncoderNorm Encoder::load_norm(const WeightLoader& weights, const std::string& name) const {
  const bool named_by_transformers = weights.has(name + ".weight");
  const auto vector = [&](const std::string& part) {
    return weights.vector(weights.rows(name + part, 1, config_.hidden_size), precision_.norm, name + part,
                          weights.replicated());
  };
  return {vector(named_by_transformers ? ".weight" : ".gamma"), vector(named_by_transformers ? ".bias" : ".beta")};
}

Linear Encoder::load_linear(const WeightLoader& weights, const std::string& name, std::int64_t outputs,
                            std::int64_t inputs, DataType dtype) const {
  return {
      weights.matmul_weight(weights.rows(name + ".weight", outputs, inputs), dtype, name + ".weight",
                            weights.replicated()),
      weights.vector(weights.rows(name + ".bias", 1, outputs), precision_.norm, name + ".bias", weights.replicated())};
}

Linear Encoder::load_qkv(const WeightLoader& weights, const std::string& prefix, DataType dtype) const {
  std::vector<HostRows> matrices;
  std::vector<HostRows> biases;
  for (const char* part : {"query", "key", "value"}) {
    matrices.push_back(weights.rows(prefix + part + ".weight", config_.hidden_size, config_.hidden_size));
    if (config_.qkv_bias) biases.push_back(weights.rows(prefix + part + ".bias", 1, config_.hidden_size));
  }
  Linear qkv{.weight = weights.matmul_weight(concat_rows(std::move(matrices)), dtype, prefix + "qkv.weight",
                                             weights.replicated())};
  if (config_.qkv_bias)
    qkv.bias = weights.vector(join_vectors(biases), precision_.norm, prefix + "qkv.bias", weights.replicated());
  return qkv;
}

EncoderLayer Encoder::load_layer(const WeightLoader& weights, const EncoderLayerNames& names,
                                 std::int64_t number) const {
  const LayerPrecision& formats = precision_.of_layer(number);
  const std::int64_t width = config_.hidden_size;
  return {.attention_norm = load_norm(weights, names.attention_norm),
          .qkv = load_qkv(weights, names.qkv, formats.wqkv),
          .output = load_linear(weights, names.output, width, width, formats.wo),
          .mlp_norm = load_norm(weights, names.mlp_norm),
          .up = load_linear(weights, names.up, config_.mlp_hidden, width, formats.ff1_3),
          .down = load_linear(weights, names.down, width, config_.mlp_hidden, formats.ff2)};
}

Tensor Encoder::normalize(const Tensor& x, const EncoderNorm& norm) const {
  return ops::layer_norm(x, {.epsilon = config_.norm_eps, .weight = norm.weight, .bias = norm.bias});
}

Tensor Encoder::project(const Tensor& x, const Linear& linear, ops::Activation function) const {
  return ops::linear(x, linear.weight, {.bias = linear.bias, .activation = function, .dtype = precision_.activation});
}

Tensor Encoder::attend(const Tensor& x, const EncoderLayer& layer, std::int64_t items, const Tensor& mask) const {
  const auto [q, k, v] = ops::nlp_create_qkv_heads(
      project(x, layer.qkv), {.num_heads = config_.heads, .num_kv_heads = config_.heads, .batch_size = items});
  const std::int64_t head_dim = config_.hidden_size / config_.heads;
  const float scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
  const Tensor attended =
      ops::scaled_dot_product_attention(q, k, v, {.scale = scale, .attn_mask = mask, .is_causal = false});
  return project(ops::nlp_concat_heads(attended), layer.output);
}

Tensor Encoder::feed_forward(const Tensor& x, const EncoderLayer& layer) const {
  return project(project(x, layer.up, config_.activation), layer.down);
}

} // namespace tessera::nn
