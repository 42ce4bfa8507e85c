#include "tessera/nn/vision/vit_model.hpp"

#include <cmath>

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
                   const Precision& precision)
    : VisionModel(std::move(device), precision, info_of(config)), config_(config) {
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
  std::vector<HostRows> matrices;
  std::vector<HostRows> biases;
  for (const char* part : {"query", "key", "value"}) {
    matrices.push_back(weights.rows(prefix + part + ".weight", config_.hidden_size, config_.hidden_size));
    if (config_.qkv_bias) biases.push_back(weights.rows(prefix + part + ".bias", 1, config_.hidden_size));
  }
  Linear qkv{.weight = weights.matmul_weight(concat_rows(std::move(matrices)), dtype, prefix + "qkv.weight",
                                             weights.replicated())};
  if (config_.qkv_bias)
    qkv.bias = weights.vector(join_vectors(biases), precision().norm, prefix + "qkv.bias", weights.replicated());
  return qkv;
}

VitModel::Layer VitModel::load_layer(const WeightLoader& weights, std::int64_t number) const {
  const LayerPrecision& formats = precision().of_layer(number);
  const std::string prefix = fmt::format("vit.encoder.layer.{}.", number);
  const std::int64_t width = config_.hidden_size;
  return {.norm_before = load_norm(weights, prefix + "layernorm_before"),
          .qkv = load_qkv(weights, prefix + "attention.attention.", formats.wqkv),
          .output = load_linear(weights, prefix + "attention.output.dense", width, width, formats.wo),
          .norm_after = load_norm(weights, prefix + "layernorm_after"),
          .up = load_linear(weights, prefix + "intermediate.dense", config_.mlp_hidden, width, formats.ff1_3),
          .down = load_linear(weights, prefix + "output.dense", width, config_.mlp_hidden, formats.ff2)};
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
  const auto [q, k, v] = ops::nlp_create_qkv_heads(
      project(x, layer.qkv), {.num_heads = config_.heads, .num_kv_heads = config_.heads, .batch_size = images});
  const float scale = 1.0F / std::sqrt(static_cast<float>(config_.hidden_size / config_.heads));
  const Tensor attended = ops::scaled_dot_product_attention(q, k, v, {.scale = scale, .is_causal = false});
  return project(ops::nlp_concat_heads(attended), layer.output);
}

Tensor VitModel::feed_forward(const Tensor& x, const Layer& layer) const {
  return project(project(x, layer.up, config_.activation), layer.down);
}

} // namespace tessera::nn
