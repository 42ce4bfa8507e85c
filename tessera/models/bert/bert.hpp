#pragma once

#include "tessera/models/classifier.hpp"
#include "tessera/nn/text/bert_config.hpp"

namespace tessera::models {

/// BERT as a classifier of texts: Hugging Face's BertForSequenceClassification.
ClassifierFamily bert_family();

/// What a config.json says. Throws InvalidArgument for impossible values, Unsupported for activations, kinds of
/// position embeddings and decoders that are not built.
nn::BertConfig configure_bert(const checkpoint::ConfigReader& config);

} // namespace tessera::models
