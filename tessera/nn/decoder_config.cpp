#include "tessera/nn/decoder_config.hpp"

#include <fmt/format.h>

namespace tessera::nn {

std::int64_t DecoderConfig::parameters() const {
  const std::int64_t attention = hidden_size * (2 * attention_width() + 2 * kv_width());
  const std::int64_t mlp = 3 * hidden_size * intermediate_size;
  const std::int64_t norms = 2 * hidden_size;
  const std::int64_t biases = (qkv_bias ? attention_width() + 2 * kv_width() : 0) + (o_bias ? hidden_size : 0) +
                              (mlp_bias ? 2 * intermediate_size + hidden_size : 0);
  const std::int64_t embeddings = vocab_size * hidden_size * (tied_embeddings ? 1 : 2);
  return layers * (attention + mlp + norms + biases) + embeddings + hidden_size;
}

std::string DecoderNames::of_layer(std::int64_t number, const std::string& part) const {
  return fmt::format(fmt::runtime(layer), number) + part;
}

std::vector<TensorExpectation> expected_tensors(const DecoderConfig& config, const DecoderNames& names) {
  std::vector<TensorExpectation> tensors;
  const auto vector = [&](const std::string& name, std::int64_t size) { tensors.push_back({name, {size}}); };
  const auto linear = [&](const std::string& name, std::int64_t out, std::int64_t in, bool bias) {
    tensors.push_back({name + ".weight", {out, in}});
    if (bias) vector(name + ".bias", out);
  };
  linear(names.embedding, config.vocab_size, config.hidden_size, false);
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    const auto name = [&](const std::string& part) { return names.of_layer(layer, part); };
    vector(name(names.input_norm) + ".weight", config.hidden_size);
    linear(name(names.q), config.attention_width(), config.hidden_size, config.qkv_bias);
    linear(name(names.k), config.kv_width(), config.hidden_size, config.qkv_bias);
    linear(name(names.v), config.kv_width(), config.hidden_size, config.qkv_bias);
    linear(name(names.o), config.hidden_size, config.attention_width(), config.o_bias);
    vector(name(names.post_attention_norm) + ".weight", config.hidden_size);
    linear(name(names.gate), config.intermediate_size, config.hidden_size, config.mlp_bias);
    linear(name(names.up), config.intermediate_size, config.hidden_size, config.mlp_bias);
    linear(name(names.down), config.hidden_size, config.intermediate_size, config.mlp_bias);
    // Files of early releases carry the rotary frequencies, which follow from the configuration.
    tensors.push_back({name("self_attn.rotary_emb.inv_freq"), {config.head_dim / 2}, true});
  }
  vector(names.final_norm + ".weight", config.hidden_size);
  tensors.push_back({names.lm_head + ".weight", {config.vocab_size, config.hidden_size}, config.tied_embeddings});
  return tensors;
}

} // namespace tessera::nn
