#include "tessera/nn/vision/vit_model.hpp"

#include <cmath>

#include "tessera/ops/ccl/reduce_scatter.hpp"
#include "tessera/ops/conv/conv_weights.hpp"
#include "tessera/ops/data_movement/concat.hpp"
#include "tessera/ops/data_movement/fold.hpp"
#include "tessera/ops/data_movement/slice.hpp"
#include "tessera/ops/eltwise/binary.hpp"
#include "tessera/ops/matmul/linear.hpp"
#include "tessera/ops/normalization/layer_norm.hpp"
#include "tessera/ops/transformer/attention.hpp"
#include "tessera/ops/transformer/heads.hpp"

namespace tessera::nn {
namespace {

ImageClassifierInfo info_of(const VitConfig& config) {
  const std::int64_t e = config.hidden_size;
  const std::int64_t s = config.tokens();
  const std::int64_t patch = config.channels * config.patch_size * config.patch_size;
  const std::int64_t of_layer = 4 * e * e + 2 * e * config.mlp_hidden;
  const std::int64_t vectors = config.layers * (9 * e + config.mlp_hidden + (config.qkv_bias ? 0 : -3 * e)) + 4 * e;
  return {.family = "vit",
          .channels = config.channels,
          .image_size = config.image_size,
          .any_image_size = false,
          .classes = config.classes,
          .parameters = config.layers * of_layer + vectors + e * (patch + s) + config.classes * (e + 1),
          .flops_of_image =
              2 * (config.patches() * e * patch + config.layers * (s * of_layer + 2 * s * s * e) + config.classes * e)};
}

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

/// A vector as so many rows, one behind the other.
HostRows as_rows(const HostRows& vector, std::int64_t rows) {
  HostRows result{.rows = rows, .columns = vector.columns / rows};
  if (!vector.read) return result;
  result.read = [vector, width = result.columns](std::int64_t row, std::int64_t first, std::int64_t count, float* out) {
    vector.read(0, row * width + first, count, out);
  };
  return result;
}

} // namespace

VitModel::VitModel(std::shared_ptr<runtime::MeshDevice> device, const VitConfig& config, const WeightLoader& weights,
                   const Precision& precision, std::int64_t tensor_parallel)
    : VisionModel(std::move(device), precision, info_of(config), tensor_parallel), config_(config) {
  const runtime::MemoryKindScope kind(this->device(), runtime::MemoryKind::WEIGHTS);
  append_embeddings(weights);
  for (std::int64_t i = 0; i < config.layers; ++i) append_layer(fmt::format("layer.{}", i), load_layer(weights, i));
  append("layernorm", [this, norm = load_norm(weights, "vit.layernorm")](const FeatureMap& x) {
    return with_rows(x, normalize(x.rows, norm));
  });
  const Linear classifier = load_linear(weights, "classifier", config.classes, config.hidden_size, precision.lm_head);
  append("classifier", [this, classifier](const FeatureMap& x) {
    const Tensor tokens = ops::slice_rows(x.rows, 0, x.images * config_.tokens(), config_.tokens());
    // Logits stay in fp32: little memory, and classes of nearly equal score stay apart.
    const Tensor logits = ops::linear(tokens, classifier.weight, {.bias = classifier.bias, .dtype = DataType::FLOAT32});
    return FeatureMap{logits, x.images, {}};
  });
  keep(weights);
}

MeshRows VitModel::of_places(const std::function<HostRows(std::int64_t)>& rows) const {
  const std::int64_t chips = tensor_parallel() == 1 ? 1 : copies() * tensor_parallel();
  std::vector<HostRows> parts;
  for (std::int64_t chip = 0; chip < chips; ++chip) parts.push_back(rows(chip % tensor_parallel()));
  return MeshRows(std::move(parts));
}

runtime::Sharing VitModel::sharing_of_places() const {
  return {.divisor = 1, .modulus = static_cast<std::uint32_t>(tensor_parallel())};
}

TensorParallel::Range VitModel::heads_of(std::int64_t place) const {
  const std::int64_t count = config_.hidden_size / tensor_parallel();
  return {place * count, count};
}

TensorParallel::Range VitModel::mlp_of(std::int64_t place) const {
  const std::int64_t count = shard_extent(config_.mlp_hidden, tensor_parallel());
  return {place * count, count};
}

VitModel::LayerNorm VitModel::load_norm(const WeightLoader& weights, const std::string& name) const {
  const auto vector = [&](const std::string& part) {
    return weights.vector(weights.rows(name + part, 1, config_.hidden_size), precision().norm, name + part,
                          weights.replicated());
  };
  return {vector(".weight"), vector(".bias")};
}

Linear VitModel::load_linear(const WeightLoader& weights, const std::string& name, std::int64_t outputs,
                             std::int64_t inputs, DataType dtype) const {
  return {
      weights.matmul_weight(weights.rows(name + ".weight", outputs, inputs), dtype, name + ".weight",
                            weights.replicated()),
      weights.vector(weights.rows(name + ".bias", 1, outputs), precision().norm, name + ".bias", weights.replicated())};
}

Linear VitModel::load_qkv(const WeightLoader& weights, const std::string& prefix, DataType dtype) const {
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
    qkv.bias = weights.vector(of_places(biases), precision().norm, prefix + "qkv.bias", sharing_of_places());
  return qkv;
}

Linear VitModel::load_column_parallel(const WeightLoader& weights, const std::string& name, std::int64_t outputs,
                                      std::int64_t inputs, const RangeOfPlace& range, DataType dtype) const {
  const HostRows matrix = weights.rows(name + ".weight", outputs, inputs);
  const HostRows bias = weights.rows(name + ".bias", 1, outputs);
  const auto part = [&](std::int64_t place) { return part_of(matrix, range(place), {0, inputs}); };
  const auto part_of_bias = [&](std::int64_t place) { return part_of(bias, {0, 1}, range(place)); };
  return {weights.matmul_weight(of_places(part), dtype, name + ".weight", sharing_of_places()),
          weights.vector(of_places(part_of_bias), precision().norm, name + ".bias", sharing_of_places())};
}

/// The bias counts once: on the first chip of a copy.
Linear VitModel::load_row_parallel(const WeightLoader& weights, const std::string& name, std::int64_t outputs,
                                   std::int64_t inputs, const RangeOfPlace& range, DataType dtype) const {
  const HostRows matrix = weights.rows(name + ".weight", outputs, inputs);
  const HostRows bias = weights.rows(name + ".bias", 1, outputs);
  const auto part = [&](std::int64_t place) { return part_of(matrix, {0, outputs}, range(place)); };
  const auto bias_once = [&](std::int64_t place) { return place == 0 ? bias : zeros_like(bias); };
  return {weights.matmul_weight(of_places(part), dtype, name + ".weight", sharing_of_places()),
          weights.vector(of_places(bias_once), precision().norm, name + ".bias", sharing_of_places())};
}

VitModel::Layer VitModel::load_layer(const WeightLoader& weights, std::int64_t number) const {
  const LayerPrecision& formats = precision().of_layer(number);
  const std::string prefix = fmt::format("vit.encoder.layer.{}.", number);
  const std::int64_t width = config_.hidden_size;
  const RangeOfPlace heads = [this](std::int64_t place) { return heads_of(place); };
  const RangeOfPlace mlp = [this](std::int64_t place) { return mlp_of(place); };
  return {
      .norm_before = load_norm(weights, prefix + "layernorm_before"),
      .qkv = load_qkv(weights, prefix + "attention.attention.", formats.wqkv),
      .output = load_row_parallel(weights, prefix + "attention.output.dense", width, width, heads, formats.wo),
      .norm_after = load_norm(weights, prefix + "layernorm_after"),
      .up = load_column_parallel(weights, prefix + "intermediate.dense", config_.mlp_hidden, width, mlp, formats.ff1_3),
      .down = load_row_parallel(weights, prefix + "output.dense", width, config_.mlp_hidden, mlp, formats.ff2)};
}

void VitModel::append_embeddings(const WeightLoader& weights) {
  const std::string prefix = "vit.embeddings.";
  const std::string projection = prefix + "patch_embeddings.projection";
  const std::int64_t size = config_.patch_size;
  const std::int64_t width = config_.hidden_size;
  const ops::Extent2d patch{size, size};
  const Linear project_patches{
      .weight = weights.matmul_weight(
          ops::fold_conv_weights(weights.filters(projection + ".weight", {width, config_.channels, size, size}),
                                 config_.channels, patch, patch),
          precision().embedding, projection, weights.replicated()),
      .bias = weights.vector(weights.rows(projection + ".bias", 1, width), precision().norm, projection + ".bias",
                             weights.replicated())};
  const Tensor class_token = weights.vector(weights.filters(prefix + "cls_token", {1, 1, width}), precision().norm,
                                            "cls_token", weights.replicated());
  const Tensor positions = weights.matrix(
      as_rows(weights.filters(prefix + "position_embeddings", {1, config_.tokens(), width}), config_.tokens()),
      precision().norm, "position_embeddings", weights.replicated());
  append("embeddings", [this, project_patches, class_token, positions, patch](const FeatureMap& x) {
    const Tensor patches = ops::fold(x.rows, {.stride = patch, .use_transpose_as_fold = true, .dtype = activation()});
    const Tensor tokens = ops::concat_rows(class_token, project(patches, project_patches), x.images);
    return FeatureMap{ops::add(tokens, positions), x.images, {config_.tokens()}};
  });
}

void VitModel::append_layer(const std::string& name, const Layer& layer) {
  const std::string before = latest();
  add_piece(name + ".layernorm_before", before,
            [this, layer](const FeatureMap& x) { return with_rows(x, normalize(x.rows, layer.norm_before)); });
  add_piece(name + ".attention", name + ".layernorm_before",
            [this, layer](const FeatureMap& x) { return with_rows(x, attend(x.rows, layer, x.images)); });
  add_piece(name + ".layernorm_after", before,
            [this, layer](const FeatureMap& x) { return with_rows(x, normalize(x.rows, layer.norm_after)); });
  add_piece(name + ".mlp", name + ".layernorm_after",
            [this, layer](const FeatureMap& x) { return with_rows(x, feed_forward(x.rows, layer)); });
  append(name, [this, layer](const FeatureMap& x) {
    const Tensor attended = ops::add(x.rows, attend(normalize(x.rows, layer.norm_before), layer, x.images));
    return with_rows(x, ops::add(attended, feed_forward(normalize(attended, layer.norm_after), layer)));
  });
}

Tensor VitModel::normalize(const Tensor& x, const LayerNorm& norm) const {
  return ops::layer_norm(x, {.epsilon = config_.norm_eps, .weight = norm.weight, .bias = norm.bias});
}

Tensor VitModel::project(const Tensor& x, const Linear& linear, ops::Activation function) const {
  return ops::linear(x, linear.weight, {.bias = linear.bias, .activation = function, .dtype = activation()});
}

Tensor VitModel::attend(const Tensor& x, const Layer& layer, std::int64_t images) const {
  const std::int64_t heads = config_.heads / tensor_parallel();
  const auto [q, k, v] = ops::nlp_create_qkv_heads(project(x, layer.qkv),
                                                   {.num_heads = heads, .num_kv_heads = heads, .batch_size = images});
  const float scale = 1.0F / std::sqrt(static_cast<float>(config_.hidden_size / config_.heads));
  const Tensor attended = ops::scaled_dot_product_attention(q, k, v, {.scale = scale, .is_causal = false});
  return sum_chips(project(ops::nlp_concat_heads(attended), layer.output));
}

Tensor VitModel::feed_forward(const Tensor& x, const Layer& layer) const {
  return sum_chips(project(project(x, layer.up, config_.activation), layer.down));
}

Tensor VitModel::sum_chips(const Tensor& partial) const {
  return tensor_parallel() == 1 ? partial : ops::all_reduce(partial, {.cluster_axis = 1});
}

} // namespace tessera::nn
