#include "tests/reference/tiny_checkpoint.hpp"

#include <fmt/format.h>

#include <random>

#include "tessera/checkpoint/safetensors.hpp"

namespace tessera::test {

nlohmann::json tiny_config(const nlohmann::json& changes) {
  nlohmann::json config{{"architectures", {"LlamaForCausalLM"}},
                        {"hidden_size", 24},
                        {"intermediate_size", 40},
                        {"max_position_embeddings", 64},
                        {"model_type", "llama"},
                        {"num_attention_heads", 4},
                        {"num_hidden_layers", 2},
                        {"num_key_value_heads", 2},
                        {"head_dim", 8},
                        {"rms_norm_eps", 1e-5},
                        {"rope_theta", 10000.0},
                        {"vocab_size", 50}};
  config.update(changes);
  return config;
}

nlohmann::json tiny_falcon_config(const nlohmann::json& changes) {
  nlohmann::json config{{"architectures", {"FalconForCausalLM"}},
                        {"bias", false},
                        {"ffn_hidden_size", 40},
                        {"hidden_size", 32},
                        {"max_position_embeddings", 64},
                        {"model_type", "falcon"},
                        {"multi_query", true},
                        {"new_decoder_architecture", false},
                        {"num_attention_heads", 4},
                        {"num_hidden_layers", 2},
                        {"parallel_attn", true},
                        {"vocab_size", 50}};
  config.update(changes);
  return config;
}

namespace {

/// Adds random tensors one after another.
struct RandomWeights {
  std::mt19937 generator{7};
  std::normal_distribution<float> normal{0.0F, 0.3F};
  TinyWeights weights;

  void add(const std::string& name, std::vector<std::int64_t> shape, float mean = 0.0F) {
    std::size_t count = 1;
    for (const std::int64_t extent : shape) count *= static_cast<std::size_t>(extent);
    std::vector<float> values(count);
    for (float& value : values) value = mean + normal(generator);
    weights[name] = {std::move(shape), std::move(values)};
  }
  void add_linear(const std::string& name, std::int64_t rows, std::int64_t columns, bool bias) {
    add(name + ".weight", {rows, columns});
    if (bias) add(name + ".bias", {rows});
  }
  void add_layer_norm(const std::string& name, std::int64_t width) {
    add(name + ".weight", {width}, 1.0F);
    add(name + ".bias", {width});
  }
};

TinyWeights falcon_weights(const nlohmann::json& config) {
  RandomWeights random;
  const std::int64_t hidden = config.at("hidden_size"), mlp = config.at("ffn_hidden_size");
  const std::int64_t heads = config.at("num_attention_heads");
  const bool bias = config.at("bias"), grouped = config.at("new_decoder_architecture");
  const std::int64_t kv_heads = grouped                                ? config.at("num_kv_heads").get<std::int64_t>()
                                : config.at("multi_query").get<bool>() ? 1
                                                                       : heads;
  random.add("transformer.word_embeddings.weight", {config.at("vocab_size"), hidden});
  random.add_layer_norm("transformer.ln_f", hidden);
  if (!config.value("tie_word_embeddings", true)) random.add("lm_head.weight", {config.at("vocab_size"), hidden});
  for (int layer = 0; layer < config.at("num_hidden_layers"); ++layer) {
    const std::string prefix = fmt::format("transformer.h.{}.", layer);
    if (grouped && config.value("num_ln_in_parallel_attn", 2) == 2) {
      random.add_layer_norm(prefix + "ln_attn", hidden);
      random.add_layer_norm(prefix + "ln_mlp", hidden);
    } else {
      random.add_layer_norm(prefix + "input_layernorm", hidden);
      if (!grouped && !config.at("parallel_attn")) random.add_layer_norm(prefix + "post_attention_layernorm", hidden);
    }
    random.add_linear(prefix + "self_attention.query_key_value", (heads + 2 * kv_heads) * 8, hidden, bias);
    random.add_linear(prefix + "self_attention.dense", hidden, hidden, bias);
    random.add_linear(prefix + "mlp.dense_h_to_4h", mlp, hidden, bias);
    random.add_linear(prefix + "mlp.dense_4h_to_h", hidden, mlp, bias);
  }
  return random.weights;
}

} // namespace

TinyWeights tiny_weights(const nlohmann::json& config) {
  if (config.at("model_type") == "falcon") return falcon_weights(config);
  RandomWeights random;
  const bool qwen2 = config.at("model_type") == "qwen2";
  const bool output_bias = config.value("attention_bias", false), mlp_bias = config.value("mlp_bias", false);
  const std::int64_t hidden = config.at("hidden_size"), mlp = config.at("intermediate_size");
  const std::int64_t queries = config.at("num_attention_heads").get<std::int64_t>() * 8;
  const std::int64_t keys = config.at("num_key_value_heads").get<std::int64_t>() * 8;
  random.add("model.embed_tokens.weight", {config.at("vocab_size"), hidden});
  random.add("model.norm.weight", {hidden}, 1.0F);
  if (!config.value("tie_word_embeddings", false)) random.add("lm_head.weight", {config.at("vocab_size"), hidden});
  for (int layer = 0; layer < config.at("num_hidden_layers"); ++layer) {
    const std::string prefix = fmt::format("model.layers.{}.", layer);
    random.add(prefix + "input_layernorm.weight", {hidden}, 1.0F);
    random.add(prefix + "post_attention_layernorm.weight", {hidden}, 1.0F);
    random.add_linear(prefix + "self_attn.q_proj", queries, hidden, qwen2 || output_bias);
    random.add_linear(prefix + "self_attn.k_proj", keys, hidden, qwen2 || output_bias);
    random.add_linear(prefix + "self_attn.v_proj", keys, hidden, qwen2 || output_bias);
    random.add_linear(prefix + "self_attn.o_proj", hidden, queries, output_bias);
    random.add_linear(prefix + "mlp.gate_proj", mlp, hidden, mlp_bias);
    random.add_linear(prefix + "mlp.up_proj", mlp, hidden, mlp_bias);
    random.add_linear(prefix + "mlp.down_proj", hidden, mlp, mlp_bias);
  }
  return random.weights;
}

void write_tiny_checkpoint(const TemporaryFolder& folder, const nlohmann::json& config, const TinyWeights& weights) {
  folder.write("config.json", config.dump());
  std::vector<checkpoint::OutputTensor> tensors;
  for (const auto& [name, weight] : weights) {
    tensors.push_back({name, checkpoint::StorageType::F32, weight.shape, std::as_bytes(std::span(weight.values))});
  }
  checkpoint::write_safetensors(folder.path() / "model.safetensors", tensors);
}

} // namespace tessera::test
