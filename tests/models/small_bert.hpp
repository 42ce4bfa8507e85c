#pragma once

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tests/models/small_classifiers.hpp"

namespace tessera::test {

/// A BERT with random weights: which names its tensors have, and more keys of its config.json.
struct SmallBert {
  std::string prefix = "bert.";
  bool old_norms = false; ///< gamma and beta, as checkpoints converted from TensorFlow have them
  std::int64_t width = 40;
  std::int64_t inner = 52;
  std::int64_t vocabulary = 30;
  std::int64_t positions = 70;
  std::int64_t types = 2;
  std::int64_t classes = 3;
  std::int64_t layers = 2;
  nlohmann::json config = nlohmann::json::object();
};

inline nlohmann::json config_of(const SmallBert& bert) {
  nlohmann::json config{{"architectures", {"BertForSequenceClassification"}},
                        {"model_type", "bert"},
                        {"hidden_size", bert.width},
                        {"intermediate_size", bert.inner},
                        {"num_hidden_layers", bert.layers},
                        {"num_attention_heads", 4},
                        {"vocab_size", bert.vocabulary},
                        {"max_position_embeddings", bert.positions},
                        {"type_vocab_size", bert.types},
                        {"num_labels", bert.classes}};
  config.update(bert.config);
  return config;
}

/// Weights of a size that makes scores and logits differ.
inline SmallClassifier small_bert(const SmallBert& bert) {
  SmallClassifier tensors;
  const auto linear = [&](const std::string& name, std::int64_t outputs, std::int64_t inputs) {
    tensors.add(name + ".weight", {outputs, inputs}, 2.0F / std::sqrt(static_cast<float>(inputs)));
    tensors.add(name + ".bias", {outputs}, 0.2F);
  };
  const auto norm = [&](const std::string& name) {
    tensors.add(name + (bert.old_norms ? ".gamma" : ".weight"), {bert.width}, 0.1F, 1.0F);
    tensors.add(name + (bert.old_norms ? ".beta" : ".bias"), {bert.width}, 0.1F);
  };
  const std::string embeddings = bert.prefix + "embeddings.";
  tensors.add(embeddings + "word_embeddings.weight", {bert.vocabulary, bert.width}, 1.0F);
  tensors.add(embeddings + "position_embeddings.weight", {bert.positions, bert.width}, 0.5F);
  tensors.add(embeddings + "token_type_embeddings.weight", {bert.types, bert.width}, 0.5F);
  norm(embeddings + "LayerNorm");
  for (std::int64_t i = 0; i < bert.layers; ++i) {
    const std::string layer = fmt::format("{}encoder.layer.{}.", bert.prefix, i);
    for (const char* part : {"query", "key", "value"}) linear(layer + "attention.self." + part, bert.width, bert.width);
    linear(layer + "attention.output.dense", bert.width, bert.width);
    norm(layer + "attention.output.LayerNorm");
    linear(layer + "intermediate.dense", bert.inner, bert.width);
    linear(layer + "output.dense", bert.width, bert.inner);
    norm(layer + "output.LayerNorm");
  }
  linear(bert.prefix + "pooler.dense", bert.width, bert.width);
  linear("classifier", bert.classes, bert.width);
  return tensors;
}

} // namespace tessera::test
