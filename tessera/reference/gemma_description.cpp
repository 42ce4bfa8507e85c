#include <cmath>
#include <nlohmann/json.hpp>

#include "tessera/base/error.hpp"
#include "tessera/reference/family_description.hpp"

namespace tessera::reference {
namespace {

using checkpoint::ConfigReader;

void describe_both(const ConfigReader& config, const nlohmann::json& json, const Defaults& defaults,
                   DecoderDescription& model) {
  describe_llama_lineage(config, json, defaults, model);
  model.norm_plus_one = true;
  // GemmaMLP reads hidden_activation; without it the form by tanh, whatever hidden_act says.
  model.activation = named_activation(config, "hidden_activation", "gelu_pytorch_tanh");
  // GemmaModel rounds the square root to the embedding's format, here fp32.
  model.embedding_scale = std::sqrt(static_cast<double>(model.hidden));
  model.qkv_bias = model.output_bias = config.boolean_or("attention_bias", false);
  model.windows.assign(static_cast<std::size_t>(model.layers), 0);
  base::require<base::Unsupported>(!config.boolean_or("use_bidirectional_attention", false),
                                   "[reference] use_bidirectional_attention must be false; received true; give a "
                                   "baseline from elsewhere with --reference");
}

/// A cap that is absent has the default, one of null is none.
double read_cap(const ConfigReader& config, const nlohmann::json& json, const std::string& key, double fallback) {
  return config.number_or(key, json.contains(key) ? 0.0 : fallback, {1e-6, 1e9});
}

} // namespace

void describe_gemma(const ConfigReader& config, const nlohmann::json& json, DecoderDescription& model) {
  describe_both(config, json,
                {.vocabulary = 256000,
                 .hidden = 3072,
                 .mlp_hidden = 24576,
                 .layers = 28,
                 .query_heads = 16,
                 .kv_heads = 16,
                 .head_dim = 256,
                 .max_positions = 8192,
                 .tied = true},
                model);
}

void describe_gemma2(const ConfigReader& config, const nlohmann::json& json, DecoderDescription& model) {
  describe_both(config, json,
                {.vocabulary = 256000,
                 .hidden = 2304,
                 .mlp_hidden = 9216,
                 .layers = 26,
                 .query_heads = 8,
                 .kv_heads = 4,
                 .head_dim = 256,
                 .max_positions = 8192,
                 .tied = true},
                model);
  model.output_norms = true;
  model.score_scale = std::pow(config.number_or("query_pre_attn_scalar", 256.0, {1e-6, 1e9}), -0.5);
  model.score_cap = read_cap(config, json, "attn_logit_softcapping", 50.0);
  model.logit_cap = read_cap(config, json, "final_logit_softcapping", 30.0);
  const std::int64_t window = read_window(config, json, 4096);
  std::vector<std::int64_t> alternating;
  for (std::int64_t layer = 0; layer < model.layers; ++layer) alternating.push_back(layer % 2 == 0 ? window : 0);
  set_windows(config, window, std::move(alternating), model);
}

} // namespace tessera::reference
