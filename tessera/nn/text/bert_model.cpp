#include "tessera/nn/text/bert_model.hpp"

#include "tessera/ops/data_movement/slice.hpp"
#include "tessera/ops/eltwise/binary.hpp"
#include "tessera/ops/eltwise/unary.hpp"
#include "tessera/ops/embedding/embedding.hpp"
#include "tessera/ops/matmul/linear.hpp"

namespace tessera::nn {
namespace {

ClassifierInfo info_of(const BertConfig& config) {
  const std::int64_t e = config.encoder.hidden_size;
  const std::int64_t head = e * e + config.classes * e;
  return {.family = "bert",
          .input = ClassifierInput::TEXTS,
          .vocab_size = config.vocab_size,
          .max_positions = config.max_positions,
          .type_vocab_size = config.type_vocab_size,
          .classes = config.classes,
          .parameters = config.layers * config.encoder.parameters() +
                        e * (config.vocab_size + config.max_positions + config.type_vocab_size + 2) + head + e +
                        config.classes,
          .flops_of_item = 2 * head,
          .flops_of_token = 2 * config.layers * config.encoder.macs_of_token(),
          .flops_of_pair = 2 * config.layers * config.encoder.macs_of_attention(1)};
}

} // namespace

BertModel::BertModel(std::shared_ptr<runtime::MeshDevice> device, const BertConfig& config, const WeightLoader& weights,
                     const Precision& precision, std::int64_t tensor_parallel)
    : TextModel(std::move(device), precision, info_of(config), tensor_parallel),
      config_(config),
      encoder_(config.encoder, precision, copies(), tensor_parallel) {
  const runtime::MemoryKindScope kind(this->device(), runtime::MemoryKind::WEIGHTS);
  const std::string prefix =
      weights.has("bert.embeddings.word_embeddings.weight") || !weights.has("embeddings.word_embeddings.weight")
          ? "bert."
          : "";
  append_embeddings(weights, prefix);
  for (std::int64_t i = 0; i < config.layers; ++i)
    append_layer(fmt::format("layer.{}", i), load_layer(weights, prefix, i));
  append_head(weights, prefix);
  keep(weights);
}

void BertModel::append_embeddings(const WeightLoader& weights, const std::string& prefix) {
  const std::string embeddings = prefix + "embeddings.";
  const std::int64_t width = config_.encoder.hidden_size;
  const auto table = [&](const char* name, std::int64_t rows) {
    const std::string tensor = fmt::format("{}{}.weight", embeddings, name);
    return weights.table(weights.rows(tensor, rows, width), precision().embedding, tensor, weights.replicated());
  };
  const Tensor words = table("word_embeddings", config_.vocab_size);
  const Tensor types = table("token_type_embeddings", config_.type_vocab_size);
  const std::string name = embeddings + "position_embeddings.weight";
  const Tensor positions = weights.matrix(weights.rows(name, config_.max_positions, width), precision().embedding, name,
                                          weights.replicated());
  append("embeddings", [this, words, types, positions,
                        norm = encoder_.load_norm(weights, embeddings + "LayerNorm")](const FeatureMap& x) {
    const Tensor tokens = ops::add(ops::embedding(x.rows, words, {.dtype = activation()}),
                                   ops::embedding(x.types, types, {.dtype = activation()}));
    const Tensor placed = ops::add(tokens, ops::slice_rows(positions, 0, x.extents.at(0)));
    return x.with_rows(encoder_.normalize(placed, norm));
  });
}

EncoderLayer BertModel::load_layer(const WeightLoader& weights, const std::string& prefix, std::int64_t number) const {
  const std::string layer = fmt::format("{}encoder.layer.{}.", prefix, number);
  return encoder_.load_layer(weights,
                             {.attention_norm = layer + "attention.output.LayerNorm",
                              .qkv = layer + "attention.self.",
                              .output = layer + "attention.output.dense",
                              .mlp_norm = layer + "output.LayerNorm",
                              .up = layer + "intermediate.dense",
                              .down = layer + "output.dense"},
                             number);
}

void BertModel::append_layer(const std::string& name, const EncoderLayer& layer) {
  const auto attend = [this, layer](const FeatureMap& x) { return encoder_.attend(x.rows, layer, x.items, x.mask); };
  const auto attention = [this, layer, attend](const FeatureMap& x) {
    return encoder_.normalize(ops::add(x.rows, attend(x)), layer.attention_norm);
  };
  const std::string before = latest();
  add_piece(name + ".self_attention", before, [attend](const FeatureMap& x) { return x.with_rows(attend(x)); });
  add_piece(name + ".attention", before, [attention](const FeatureMap& x) { return x.with_rows(attention(x)); });
  add_piece(name + ".mlp", name + ".attention",
            [this, layer](const FeatureMap& x) { return x.with_rows(encoder_.feed_forward(x.rows, layer)); });
  append(name, [this, layer, attention](const FeatureMap& x) {
    const Tensor attended = attention(x);
    return x.with_rows(encoder_.normalize(ops::add(attended, encoder_.feed_forward(attended, layer)), layer.mlp_norm));
  });
}

void BertModel::append_head(const WeightLoader& weights, const std::string& prefix) {
  const std::int64_t width = config_.encoder.hidden_size;
  const Linear dense = encoder_.load_linear(weights, prefix + "pooler.dense", width, width, precision().lm_head);
  append("pooler", [this, dense](const FeatureMap& x) {
    const std::int64_t length = x.extents.at(0);
    const Tensor first = ops::slice_rows(x.rows, 0, x.items * length, length);
    return FeatureMap{ops::tanh(encoder_.project(first, dense)), x.items, {}};
  });
  const Linear classifier = encoder_.load_linear(weights, "classifier", config_.classes, width, precision().lm_head);
  append("classifier", [classifier](const FeatureMap& x) {
    // Logits stay in fp32: little memory, and classes of nearly equal score stay apart.
    return FeatureMap{
        ops::linear(x.rows, classifier.weight, {.bias = classifier.bias, .dtype = DataType::FLOAT32}), x.items, {}};
  });
}

} // namespace tessera::nn
