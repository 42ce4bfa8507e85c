#pragma once

#include <memory>
#include <string>

#include "tessera/nn/classifier/encoder_layer.hpp"
#include "tessera/nn/text/bert_config.hpp"
#include "tessera/nn/text/text_model.hpp"

namespace tessera::nn {

/// BERT on a mesh, under the tensor names of Hugging Face's BertForSequenceClassification, with or without "bert." in
/// front. Formats by nn::Precision as Encoder has them; the three tables are `embedding`, the pooler and the classifier
/// `lm_head`.
class BertModel final : public TextModel {
 public:
  /// Throws IoError for tensors that are missing or misshapen, OutOfMemory when the card is too small.
  /// REQUIRES: as Encoder.
  BertModel(std::shared_ptr<runtime::MeshDevice> device, const BertConfig& config, const WeightLoader& weights,
            const Precision& precision, std::int64_t tensor_parallel = 1);

 private:
  void append_embeddings(const WeightLoader& weights, const std::string& prefix);
  EncoderLayer load_layer(const WeightLoader& weights, const std::string& prefix, std::int64_t number) const;
  void append_layer(const std::string& name, const EncoderLayer& layer);
  void append_head(const WeightLoader& weights, const std::string& prefix);

  BertConfig config_;
  Encoder encoder_;
};

} // namespace tessera::nn
