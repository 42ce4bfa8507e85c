#include "tessera/models/bert/bert.hpp"

#include "tessera/base/error.hpp"
#include "tessera/models/decoder_keys.hpp"
#include "tessera/nn/text/bert_model.hpp"

namespace tessera::models {
namespace {

constexpr std::string_view kFamily = "bert";

void check_built(const checkpoint::ConfigReader& config) {
  const std::string positions = config.string_or("position_embedding_type", "absolute");
  base::require<base::Unsupported>(
      positions == "absolute",
      "[config] position_embedding_type absolute of a bert is built, relative positions are not; received \"{}\"",
      positions);
  for (const char* key : {"is_decoder", "add_cross_attention"}) {
    base::require<base::Unsupported>(!config.boolean_or(key, false),
                                     "[config] {} of a bert must be false, decoders of its kind are not built", key);
  }
}

std::unique_ptr<nn::ClassifierModel> load_bert(const ClassifierMaterial& material) {
  const checkpoint::Checkpoint& checkpoint = material.checkpoint;
  return std::make_unique<nn::BertModel>(
      material.device, configure_bert(checkpoint::ConfigReader(checkpoint.config(), checkpoint.config_path().string())),
      material.weights, material.precision, material.tensor_parallel);
}

} // namespace

nn::BertConfig configure_bert(const checkpoint::ConfigReader& config) {
  check_built(config);
  constexpr checkpoint::IntegerRange kExtent{1, kLargestExtent};
  nn::BertConfig bert;
  bert.layers = read_layers(config, bert.layers);
  read_encoder(config, kFamily, bert.encoder);
  bert.vocab_size = config.integer_or("vocab_size", bert.vocab_size, kExtent);
  bert.max_positions = config.integer_or("max_position_embeddings", bert.max_positions, kExtent);
  bert.type_vocab_size = config.integer_or("type_vocab_size", bert.type_vocab_size, kExtent);
  bert.classes = class_count(config);
  return bert;
}

ClassifierFamily bert_family() {
  return {.name = kFamily,
          .architecture = "BertForSequenceClassification",
          .input = nn::ClassifierInput::TEXTS,
          .load = load_bert,
          .shared_heads = [](const checkpoint::ConfigReader& config) { return configure_bert(config).encoder.heads; }};
}

} // namespace tessera::models
