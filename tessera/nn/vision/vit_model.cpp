#include "tessera/nn/vision/vit_model.hpp"

#include "tessera/ops/conv/conv_weights.hpp"
#include "tessera/ops/data_movement/concat.hpp"
#include "tessera/ops/data_movement/fold.hpp"
#include "tessera/ops/data_movement/slice.hpp"
#include "tessera/ops/eltwise/binary.hpp"
#include "tessera/ops/matmul/linear.hpp"

namespace tessera::nn {
namespace {

ClassifierInfo info_of(const VitConfig& config) {
  const std::int64_t e = config.encoder.hidden_size;
  const std::int64_t s = config.tokens();
  const std::int64_t patch = config.channels * config.patch_size * config.patch_size;
  return {
      .family = "vit",
      .channels = config.channels,
      .image_size = config.image_size,
      .any_image_size = false,
      .classes = config.classes,
      .parameters = config.layers * config.encoder.parameters() + 4 * e + e * (patch + s) + config.classes * (e + 1),
      .flops_of_item =
          2 * (config.patches() * e * patch + config.classes * e +
               config.layers * (s * config.encoder.macs_of_token() + config.encoder.macs_of_attention(s)))};
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
    : VisionModel(std::move(device), precision, info_of(config), tensor_parallel),
      config_(config),
      encoder_(config.encoder, precision, copies(), tensor_parallel) {
  const runtime::MemoryKindScope kind(this->device(), runtime::MemoryKind::WEIGHTS);
  append_embeddings(weights);
  for (std::int64_t i = 0; i < config.layers; ++i) append_layer(fmt::format("layer.{}", i), load_layer(weights, i));
  append("layernorm", [this, norm = encoder_.load_norm(weights, "vit.layernorm")](const FeatureMap& x) {
    return x.with_rows(encoder_.normalize(x.rows, norm));
  });
  const Linear classifier =
      encoder_.load_linear(weights, "classifier", config.classes, config.encoder.hidden_size, precision.lm_head);
  append("classifier", [this, classifier](const FeatureMap& x) {
    const Tensor tokens = ops::slice_rows(x.rows, 0, x.items * config_.tokens(), config_.tokens());
    // Logits stay in fp32: little memory, and classes of nearly equal score stay apart.
    const Tensor logits = ops::linear(tokens, classifier.weight, {.bias = classifier.bias, .dtype = DataType::FLOAT32});
    return FeatureMap{logits, x.items, {}};
  });
  keep(weights);
}

EncoderLayer VitModel::load_layer(const WeightLoader& weights, std::int64_t number) const {
  const std::string prefix = fmt::format("vit.encoder.layer.{}.", number);
  return encoder_.load_layer(weights,
                             {.attention_norm = prefix + "layernorm_before",
                              .qkv = prefix + "attention.attention.",
                              .output = prefix + "attention.output.dense",
                              .mlp_norm = prefix + "layernorm_after",
                              .up = prefix + "intermediate.dense",
                              .down = prefix + "output.dense"},
                             number);
}

void VitModel::append_embeddings(const WeightLoader& weights) {
  const std::string prefix = "vit.embeddings.";
  const std::string projection = prefix + "patch_embeddings.projection";
  const std::int64_t size = config_.patch_size;
  const std::int64_t width = config_.encoder.hidden_size;
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
    const Tensor tokens = ops::concat_rows(class_token, encoder_.project(patches, project_patches), x.items);
    return FeatureMap{ops::add(tokens, positions), x.items, {config_.tokens()}};
  });
}

void VitModel::append_layer(const std::string& name, const EncoderLayer& layer) {
  const std::string before = latest();
  add_piece(name + ".layernorm_before", before, [this, layer](const FeatureMap& x) {
    return x.with_rows(encoder_.normalize(x.rows, layer.attention_norm));
  });
  add_piece(name + ".attention", name + ".layernorm_before",
            [this, layer](const FeatureMap& x) { return x.with_rows(encoder_.attend(x.rows, layer, x.items)); });
  add_piece(name + ".layernorm_after", before,
            [this, layer](const FeatureMap& x) { return x.with_rows(encoder_.normalize(x.rows, layer.mlp_norm)); });
  add_piece(name + ".mlp", name + ".layernorm_after",
            [this, layer](const FeatureMap& x) { return x.with_rows(encoder_.feed_forward(x.rows, layer)); });
  append(name, [this, layer](const FeatureMap& x) {
    const Tensor attended =
        ops::add(x.rows, encoder_.attend(encoder_.normalize(x.rows, layer.attention_norm), layer, x.items));
    return x.with_rows(ops::add(attended, encoder_.feed_forward(encoder_.normalize(attended, layer.mlp_norm), layer)));
  });
}

} // namespace tessera::nn
