#include "tessera/reference/bert_reference.hpp"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "tessera/base/error.hpp"
#include "tessera/nn/classifier/text_rows.hpp"

namespace tessera::reference {

BertReference::BertReference(const checkpoint::Checkpoint& checkpoint)
    : ClassifierReference(checkpoint, nn::ClassifierInput::TEXTS),
      prefix_(has("embeddings.word_embeddings.weight") ? "" : "bert.") {
  const checkpoint::ConfigReader config = config_of(checkpoint);
  heads_ = config.integer_or("num_attention_heads", 12, {1, 1 << 16});
  norm_eps_ = config.number_or("layer_norm_eps", 1e-12, {0.0, 1.0});
  activation_ = config.string_or("hidden_act", "gelu");
  const std::string kind = config.string_or("position_embedding_type", "absolute");
  base::require<base::Unsupported>(kind == "absolute", "[reference] position_embedding_type \"{}\" is not known", kind);
  const std::string embeddings = prefix_ + "embeddings.";
  const at::Tensor words = weight(embeddings + "word_embeddings.weight");
  const at::Tensor positions = weight(embeddings + "position_embeddings.weight");
  const at::Tensor types = weight(embeddings + "token_type_embeddings.weight");
  info_ = {.family = "bert",
           .input = nn::ClassifierInput::TEXTS,
           .vocab_size = words.size(0),
           .max_positions = positions.size(0),
           .type_vocab_size = types.size(0),
           .classes = weight("classifier.weight").size(0)};
  base::require(words.size(1) % heads_ == 0, "[reference] the heads must divide the width {}; received {}",
                words.size(1), heads_);
  append("embeddings", [this, embeddings, words, positions, types](const at::Tensor& ids) {
    const at::Tensor sum =
        at::embedding(words, ids) + at::embedding(types, types_) + positions.slice(0, 0, ids.size(1));
    return norm(sum, embeddings + "LayerNorm");
  });
  const std::int64_t layers = config.integer_or("num_hidden_layers", 12, {1, 1 << 10});
  for (std::int64_t i = 0; i < layers; ++i) append_layer(i);
  append("pooler", [this](const at::Tensor& x) { return at::tanh(linear(x.select(1, 0), prefix_ + "pooler.dense")); });
  append("classifier", [this](const at::Tensor& x) { return linear(x, "classifier"); });
}

at::Tensor BertReference::take(const nn::HostTensor& inputs) {
  nn::require_texts("reference", inputs, info_.vocab_size, info_.max_positions, info_.type_vocab_size);
  const at::Tensor rows = to_torch(inputs);
  types_ = rows.select(1, nn::kTypesRow).to(at::kLong);
  mask_ = ((1.0 - rows.select(1, nn::kMaskRow)) * std::numeric_limits<float>::lowest()).unsqueeze(1).unsqueeze(1);
  return rows.select(1, nn::kIdsRow).to(at::kLong);
}

at::Tensor BertReference::norm(const at::Tensor& x, const std::string& name) const {
  const bool old = has(name + ".gamma");
  return at::layer_norm(x, {x.size(-1)}, weight(name + (old ? ".gamma" : ".weight")),
                        weight(name + (old ? ".beta" : ".bias")), norm_eps_);
}

at::Tensor BertReference::self_attention(const at::Tensor& x, const std::string& layer) const {
  const std::int64_t head_dim = x.size(2) / heads_;
  const auto heads = [&](const char* name) {
    return linear(x, layer + "attention.self." + name).view({x.size(0), x.size(1), heads_, head_dim}).transpose(1, 2);
  };
  const at::Tensor scores =
      at::matmul(heads("query"), heads("key").transpose(-2, -1)) / std::sqrt(static_cast<double>(head_dim)) + mask_;
  const at::Tensor joined = at::matmul(scores.softmax(-1), heads("value")).transpose(1, 2).reshape(x.sizes());
  return linear(joined, layer + "attention.output.dense");
}

at::Tensor BertReference::attention(const at::Tensor& x, const std::string& layer) const {
  return norm(self_attention(x, layer) + x, layer + "attention.output.LayerNorm");
}

at::Tensor BertReference::mlp(const at::Tensor& x, const std::string& layer) const {
  return linear(activate(linear(x, layer + "intermediate.dense"), activation_), layer + "output.dense");
}

void BertReference::append_layer(std::int64_t number) {
  const std::string name = fmt::format("layer.{}", number);
  const std::string layer = fmt::format("{}encoder.layer.{}.", prefix_, number);
  const std::string before = latest();
  add_piece(name + ".self_attention", before, [this, layer](const at::Tensor& x) { return self_attention(x, layer); });
  add_piece(name + ".attention", before, [this, layer](const at::Tensor& x) { return attention(x, layer); });
  add_piece(name + ".mlp", name + ".attention", [this, layer](const at::Tensor& x) { return mlp(x, layer); });
  append(name, [this, layer](const at::Tensor& x) {
    const at::Tensor attended = attention(x, layer);
    return norm(mlp(attended, layer) + attended, layer + "output.LayerNorm");
  });
}

} // namespace tessera::reference
