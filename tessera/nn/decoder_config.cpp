#include "tessera/nn/decoder_config.hpp"

#include <fmt/format.h>

namespace tessera::nn {

std::int64_t DecoderConfig::parameters() const {
  const std::int64_t attention = hidden_size * (2 * attention_width() + 2 * kv_width()) + (qk_norm ? 2 * head_dim : 0);
  const std::int64_t into_mlp = (gated_mlp ? 2 : 1) * intermediate_size;
  const std::int64_t one_mlp = hidden_size * (into_mlp + intermediate_size);
  const std::int64_t mlp = experts.count == 0 ? one_mlp : experts.count * (one_mlp + hidden_size);
  const std::int64_t norm_size = hidden_size * (norm == NormKind::LAYER ? 2 : 1);
  const std::int64_t norms = ((mlp_norm ? 2 : 1) + (output_norms ? 2 : 0)) * norm_size;
  const std::int64_t biases = (qkv_bias ? attention_width() + 2 * kv_width() : 0) + (o_bias ? hidden_size : 0) +
                              (mlp_bias ? into_mlp + hidden_size : 0);
  const std::int64_t embeddings = vocab_size * hidden_size * (tied_embeddings ? 1 : 2);
  const std::int64_t learned = positions == PositionKind::LEARNED ? max_positions * hidden_size : 0;
  return layers * (attention + mlp + norms + biases) + embeddings + learned + norm_size;
}

std::string DecoderNames::of_layer(std::int64_t number, const std::string& part) const {
  return fmt::format(fmt::runtime(layer), number) + part;
}

std::string DecoderNames::of_expert(std::int64_t layer_number, std::int64_t expert_number,
                                    const std::string& part) const {
  return of_layer(layer_number, fmt::format(fmt::runtime(expert), expert_number) + part);
}

namespace {

/// Collects the tensors of a model.
struct Expectations {
  const DecoderConfig& config;
  const DecoderNames& names;
  std::vector<TensorExpectation> tensors;

  void add_vector(const std::string& name, std::int64_t size) { tensors.push_back({name, {size}}); }
  void add_linear(const std::string& name, std::int64_t out, std::int64_t in, bool bias) {
    tensors.push_back({name + ".weight", config.transposed_linears ? std::vector{in, out} : std::vector{out, in}});
    if (bias) add_vector(name + ".bias", out);
  }
  void add_norm(const std::string& name) {
    add_vector(name + ".weight", config.hidden_size);
    if (config.norm == NormKind::LAYER) tensors.push_back({name + ".bias", {config.hidden_size}, true});
  }

  void add_attention(std::int64_t layer) {
    const auto name = [&](const std::string& part) { return names.of_layer(layer, part); };
    const std::int64_t hidden = config.hidden_size;
    if (config.fused_qkv()) {
      add_linear(name(names.qkv), config.attention_width() + 2 * config.kv_width(), hidden, config.qkv_bias);
    } else {
      add_linear(name(names.q), config.attention_width(), hidden, config.qkv_bias);
      add_linear(name(names.k), config.kv_width(), hidden, config.qkv_bias);
      add_linear(name(names.v), config.kv_width(), hidden, config.qkv_bias);
    }
    if (config.qk_norm) {
      add_vector(name(names.q_norm) + ".weight", config.head_dim);
      add_vector(name(names.k_norm) + ".weight", config.head_dim);
    }
    add_linear(name(names.o), hidden, config.attention_width(), config.o_bias);
  }

  void add_mlp(std::int64_t layer) {
    const auto name = [&](const std::string& part) { return names.of_layer(layer, part); };
    const std::int64_t hidden = config.hidden_size;
    const std::int64_t width = config.intermediate_size;
    if (config.experts.count > 0) {
      add_linear(name(names.router), config.experts.count, hidden, false);
      for (std::int64_t expert = 0; expert < config.experts.count; ++expert) {
        add_linear(names.of_expert(layer, expert, names.expert_gate), width, hidden, false);
        add_linear(names.of_expert(layer, expert, names.expert_up), width, hidden, false);
        add_linear(names.of_expert(layer, expert, names.expert_down), hidden, width, false);
      }
      return;
    }
    if (config.fused_gate_up) {
      add_linear(name(names.gate_up), 2 * width, hidden, config.mlp_bias);
    } else {
      if (config.gated_mlp) add_linear(name(names.gate), width, hidden, config.mlp_bias);
      add_linear(name(names.up), width, hidden, config.mlp_bias);
    }
    add_linear(name(names.down), hidden, width, config.mlp_bias);
  }

  void add_layer(std::int64_t layer) {
    const auto name = [&](const std::string& part) { return names.of_layer(layer, part); };
    add_norm(name(names.input_norm));
    add_attention(layer);
    if (config.output_norms) add_norm(name(names.attention_output_norm));
    if (config.mlp_norm) add_norm(name(names.post_attention_norm));
    add_mlp(layer);
    if (config.output_norms) add_norm(name(names.mlp_output_norm));
    // Files of early releases carry the rotary frequencies, which follow from the configuration.
    if (config.positions == PositionKind::ROTARY)
      tensors.push_back({name(names.rotary_frequencies), {config.head_dim / 2}, true, true});
    for (const std::string& mask : names.masks) tensors.push_back({name(mask), {}, true, true});
  }
};

} // namespace

std::vector<TensorExpectation> expected_tensors(const DecoderConfig& config, const DecoderNames& names) {
  Expectations all{config, names, {}};
  all.tensors.push_back({names.embedding + ".weight", {config.vocab_size, config.hidden_size}});
  if (config.positions == PositionKind::LEARNED)
    all.tensors.push_back({names.position_embedding + ".weight", {config.max_positions, config.hidden_size}});
  for (std::int64_t layer = 0; layer < config.layers; ++layer) all.add_layer(layer);
  all.add_norm(names.final_norm);
  all.tensors.push_back({names.lm_head + ".weight", {config.vocab_size, config.hidden_size}, config.tied_embeddings});
  return all.tensors;
}

} // namespace tessera::nn
