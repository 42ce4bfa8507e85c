#include "tessera/nn/classifier/encoder_layer.hpp"

#include <cmath>

#include "tessera/ops/ccl/reduce_scatter.hpp"
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

MeshRows Encoder::of_places(const std::function<HostRows(std::int64_t)>& rows) const {
  const std::int64_t chips = tensor_parallel_ == 1 ? 1 : copies_ * tensor_parallel_;
  std::vector<HostRows> parts;
  for (std::int64_t chip = 0; chip < chips; ++chip) parts.push_back(rows(chip % tensor_parallel_));
  return MeshRows(std::move(parts));
}

runtime::Sharing Encoder::sharing_of_places() const {
  return {.divisor = 1, .modulus = static_cast<std::uint32_t>(tensor_parallel_)};
}

TensorParallel::Range Encoder::heads_of(std::int64_t place) const {
  const std::int64_t count = config_.hidden_size / tensor_parallel_;
  return {place * count, count};
}

TensorParallel::Range Encoder::mlp_of(std::int64_t place) const {
  const std::int64_t count = shard_extent(config_.mlp_hidden, tensor_parallel_);
  return {place * count, count};
}

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
  const std::int64_t width = config_.hidden_size;
  const auto matrices = [&](std::int64_t place) {
    std::vector<HostRows> parts;
    for (const char* part : {"query", "key", "value"})
      parts.push_back(part_of(weights.rows(prefix + part + ".weight", width, width), heads_of(place), {0, width}));
    return concat_rows(std::move(parts));
  };
  const auto biases = [&](std::int64_t place) {
    std::vector<HostRows> parts;
    for (const char* part : {"query", "key", "value"})
      parts.push_back(part_of(weights.rows(prefix + part + ".bias", 1, width), {0, 1}, heads_of(place)));
    return join_vectors(parts);
  };
  Linear qkv{.weight = weights.matmul_weight(of_places(matrices), dtype, prefix + "qkv.weight", sharing_of_places())};
  if (config_.qkv_bias)
    qkv.bias = weights.vector(of_places(biases), precision_.norm, prefix + "qkv.bias", sharing_of_places());
  return qkv;
}

Linear Encoder::load_column_parallel(const WeightLoader& weights, const std::string& name, std::int64_t outputs,
                                     std::int64_t inputs, const RangeOfPlace& range, DataType dtype) const {
  const HostRows matrix = weights.rows(name + ".weight", outputs, inputs);
  const HostRows bias = weights.rows(name + ".bias", 1, outputs);
  const auto part = [&](std::int64_t place) { return part_of(matrix, range(place), {0, inputs}); };
  const auto part_of_bias = [&](std::int64_t place) { return part_of(bias, {0, 1}, range(place)); };
  return {weights.matmul_weight(of_places(part), dtype, name + ".weight", sharing_of_places()),
          weights.vector(of_places(part_of_bias), precision_.norm, name + ".bias", sharing_of_places())};
}

/// The bias counts once: on the first chip of a copy.
Linear Encoder::load_row_parallel(const WeightLoader& weights, const std::string& name, std::int64_t outputs,
                                  std::int64_t inputs, const RangeOfPlace& range, DataType dtype) const {
  const HostRows matrix = weights.rows(name + ".weight", outputs, inputs);
  const HostRows bias = weights.rows(name + ".bias", 1, outputs);
  const auto part = [&](std::int64_t place) { return part_of(matrix, {0, outputs}, range(place)); };
  const auto bias_once = [&](std::int64_t place) { return place == 0 ? bias : zeros_like(bias); };
  return {weights.matmul_weight(of_places(part), dtype, name + ".weight", sharing_of_places()),
          weights.vector(of_places(bias_once), precision_.norm, name + ".bias", sharing_of_places())};
}

EncoderLayer Encoder::load_layer(const WeightLoader& weights, const EncoderLayerNames& names,
                                 std::int64_t number) const {
  const LayerPrecision& formats = precision_.of_layer(number);
  const std::int64_t width = config_.hidden_size;
  const std::int64_t hidden = config_.mlp_hidden;
  const RangeOfPlace heads = [this](std::int64_t place) { return heads_of(place); };
  const RangeOfPlace mlp = [this](std::int64_t place) { return mlp_of(place); };
  EncoderLayer layer{.attention_norm = load_norm(weights, names.attention_norm),
                     .qkv = load_qkv(weights, names.qkv, formats.wqkv),
                     .output = load_row_parallel(weights, names.output, width, width, heads, formats.wo),
                     .mlp_norm = load_norm(weights, names.mlp_norm),
                     .up = load_column_parallel(weights, names.up, hidden, width, mlp, formats.ff1_3),
                     .down = load_row_parallel(weights, names.down, width, hidden, mlp, formats.ff2),
                     .attention_compute = formats.sdpa.prefill};
  layer.qkv.compute = formats.li_qkv;
  layer.output.compute = formats.li_o;
  layer.up.compute = formats.li_ff1_3;
  layer.down.compute = formats.li_ff2;
  return layer;
}

Tensor Encoder::normalize(const Tensor& x, const EncoderNorm& norm) const {
  return ops::layer_norm(x, {.epsilon = config_.norm_eps, .weight = norm.weight, .bias = norm.bias});
}

Tensor Encoder::project(const Tensor& x, const Linear& linear, ops::Activation function) const {
  return ops::linear(x, linear.weight,
                     {.bias = linear.bias,
                      .activation = function,
                      .dtype = precision_.activation,
                      .compute_kernel_config = linear.compute.prefill});
}

Tensor Encoder::attend(const Tensor& x, const EncoderLayer& layer, std::int64_t items, const Tensor& mask) const {
  const std::int64_t heads = config_.heads / tensor_parallel_;
  const auto [q, k, v] = ops::nlp_create_qkv_heads(project(x, layer.qkv),
                                                   {.num_heads = heads, .num_kv_heads = heads, .batch_size = items});
  const std::int64_t head_dim = config_.hidden_size / config_.heads;
  const float scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
  const Tensor attended = ops::scaled_dot_product_attention(
      q, k, v,
      {.scale = scale, .attn_mask = mask, .is_causal = false, .compute_kernel_config = layer.attention_compute});
  return sum_chips(project(ops::nlp_concat_heads(attended), layer.output));
}

Tensor Encoder::feed_forward(const Tensor& x, const EncoderLayer& layer) const {
  return sum_chips(project(project(x, layer.up, config_.activation), layer.down));
}

Tensor Encoder::sum_chips(const Tensor& partial) const {
  return tensor_parallel_ == 1 ? partial : ops::all_reduce(partial, {.cluster_axis = 1});
}

} // namespace tessera::nn
