#pragma once

#include <cstdint>

#include "tessera/nn/classifier/encoder_layer.hpp"

namespace tessera::nn {

/// BERT (Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers") as a classifier: words, positions and
/// types as tokens, layers with a norm behind attention and MLP, a pooler and a classifier on the first token.
struct BertConfig {
  std::int64_t layers = 12;
  EncoderConfig encoder;
  std::int64_t vocab_size = 30522;
  std::int64_t max_positions = 512;
  std::int64_t type_vocab_size = 2;
  std::int64_t classes = 2;
};

} // namespace tessera::nn
