#include "tessera/nn/decoder_config.hpp"

#include <fmt/format.h>

namespace tessera::nn {

std::int64_t DecoderConfig::parameters() const {
  const std::int64_t attention = hidden_size * (2 * attention_width() + 2 * kv_width());
  const std::int64_t into_mlp = (gated_mlp ? 2 : 1) * intermediate_size;
  const std::int64_t mlp = hidden_size * (into_mlp + intermediate_size);
  const std::int64_t norm_size = hidden_size * (norm == NormKind::LAYER ? 2 : 1);
  const std::int64_t norms = (mlp_norm ? 2 : 1) * norm_size;
  const std::int64_t biases = (qkv_bias ? attention_width() + 2 * kv_width() : 0) + (o_bias ? hidden_size : 0) +
                              (mlp_bias ? into_mlp + hidden_size : 0);
  const std::int64_t embeddings = vocab_size * hidden_size * (tied_embeddings ? 1 : 2);
  return layers * (attention + mlp + norms + biases) + embeddings + norm_size;
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
  const auto norm = [&](const std::string& name) {
    vector(name + ".weight", config.hidden_size);
    if (config.norm == NormKind::LAYER) tensors.push_back({name + ".bias", {config.hidden_size}, true});
  };
  linear(names.embedding, config.vocab_size, config.hidden_size, false);
  for (std::int64_t layer = 0; layer < config.layers; ++layer) {
    const auto name = [&](const std::string& part) { return names.of_layer(layer, part); };
    norm(name(names.input_norm));
    if (config.fused_qkv) {
      linear(name(names.qkv), config.attention_width() + 2 * config.kv_width(), config.hidden_size, config.qkv_bias);
    } else {
      linear(name(names.q), config.attention_width(), config.hidden_size, config.qkv_bias);
      linear(name(names.k), config.kv_width(), config.hidden_size, config.qkv_bias);
      linear(name(names.v), config.kv_width(), config.hidden_size, config.qkv_bias);
    }
    linear(name(names.o), config.hidden_size, config.attention_width(), config.o_bias);
    if (config.mlp_norm) norm(name(names.post_attention_norm));
    if (config.gated_mlp) linear(name(names.gate), config.intermediate_size, config.hidden_size, config.mlp_bias);
    linear(name(names.up), config.intermediate_size, config.hidden_size, config.mlp_bias);
    linear(name(names.down), config.hidden_size, config.intermediate_size, config.mlp_bias);
    // Files of early releases carry the rotary frequencies, which follow from the configuration.
    tensors.push_back({name(names.rotary_frequencies), {config.head_dim / 2}, true});
  }
  norm(names.final_norm);
  tensors.push_back({names.lm_head + ".weight", {config.vocab_size, config.hidden_size}, config.tied_embeddings});
  return tensors;
}

} // namespace tessera::nn
