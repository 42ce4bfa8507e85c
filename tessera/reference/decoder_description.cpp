#include "tessera/reference/decoder_description.hpp"

#include <fmt/ranges.h>

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "tessera/base/error.hpp"
#include "tessera/checkpoint/config_reader.hpp"
#include "tessera/checkpoint/json_text.hpp"
#include "tessera/reference/family_description.hpp"

namespace tessera::reference {
namespace {

using checkpoint::ConfigReader;

/// A family as its configuration class in transformers has it.
struct Family {
  const char* architecture;
  const char* model_type;
  void (*describe)(const ConfigReader& config, const nlohmann::json& json, DecoderDescription& model);
};

/// The factors of LongRoPE, and by which cosines and sines are scaled (_compute_longrope_parameters).
void read_long_scaling(const ConfigReader& config, const ConfigReader& object, const DecoderDescription& model,
                       RotaryScaling& scaling) {
  const checkpoint::NumberRange positive{1e-6, 1e9};
  scaling.kind = RotaryScaling::Kind::LONG;
  // Beside rope_scaling, else inside it, else Phi-3's default.
  const auto inside = object.optional_number("original_max_position_embeddings", positive);
  scaling.original_max_positions =
      config.number_or("original_max_position_embeddings", inside.value_or(4096.0), {2.0, 1e9});
  scaling.short_factors = object.numbers("short_factor", positive);
  scaling.long_factors = object.numbers("long_factor", positive);
  const auto pairs = static_cast<std::size_t>(model.rotary_dim / 2);
  if (scaling.short_factors.size() != pairs) object.reject("short_factor", fmt::format("a list of {} numbers", pairs));
  if (scaling.long_factors.size() != pairs) object.reject("long_factor", fmt::format("a list of {} numbers", pairs));
  const double stretch =
      object.number_or("factor", static_cast<double>(model.max_positions) / scaling.original_max_positions, positive);
  double attention = 1.0;
  if (stretch > 1.0) attention = std::sqrt(1.0 + std::log(stretch) / std::log(scaling.original_max_positions));
  scaling.attention_factor = object.number_or("attention_factor", attention, positive);
}

/// YaRN's blend, and by which cosines and sines are scaled (_compute_yarn_parameters).
void read_yarn(const ConfigReader& config, const ConfigReader& object, const DecoderDescription& model,
               RotaryScaling& scaling) {
  const checkpoint::NumberRange positive{1e-6, 1e9};
  scaling.kind = RotaryScaling::Kind::YARN;
  scaling.factor = object.number("factor", {1.0, 1e6});
  scaling.beta_fast = object.number_or("beta_fast", 32.0, positive);
  scaling.beta_slow = object.number_or("beta_slow", 1.0, positive);
  scaling.whole_pairs = object.boolean_or("truncate", true);
  const double inside =
      object.number_or("original_max_position_embeddings", static_cast<double>(model.max_positions), {2.0, 1e9});
  scaling.original_max_positions = config.number_or("original_max_position_embeddings", inside, {2.0, 1e9});
  const double growth = 0.1 * std::log(scaling.factor);
  double attention = growth + 1.0;
  const auto over = object.optional_number("mscale", positive),
             under = object.optional_number("mscale_all_dim", positive);
  if (over && under) attention = (*over * growth + 1.0) / (*under * growth + 1.0);
  scaling.attention_factor = object.number_or("attention_factor", attention, positive);
}

RotaryScaling read_scaling(const ConfigReader& config, const DecoderDescription& model) {
  const auto object = config.object("rope_scaling");
  if (!object) return {};
  const checkpoint::NumberRange positive{1e-6, 1e9};
  const std::string kind = object->string("rope_type");
  // dynamic changes nothing up to max_position_embeddings.
  if (kind == "default" || kind == "dynamic") return {};
  RotaryScaling scaling;
  if (kind == "linear") {
    scaling.kind = RotaryScaling::Kind::LINEAR;
    scaling.factor = object->number("factor", positive);
    return scaling;
  }
  // Phi-3's first files say su, or yarn.
  if (kind == "longrope" || kind == "su" || (kind == "yarn" && object->has("short_factor"))) {
    read_long_scaling(config, *object, model, scaling);
    return scaling;
  }
  if (kind == "yarn") {
    read_yarn(config, *object, model, scaling);
    return scaling;
  }
  base::require<base::Unsupported>(kind == "llama3",
                                   "[reference] rope_scaling.rope_type must be default, linear, dynamic, llama3, yarn "
                                   "or longrope; received {}; give "
                                   "a baseline from elsewhere with --reference",
                                   kind);
  scaling.kind = RotaryScaling::Kind::LLAMA3;
  scaling.factor = object->number("factor", positive);
  scaling.low_freq_factor = object->number("low_freq_factor", positive);
  scaling.high_freq_factor = object->number("high_freq_factor", positive);
  scaling.original_max_positions = object->number("original_max_position_embeddings", positive);
  if (scaling.high_freq_factor <= scaling.low_freq_factor) {
    object->reject("high_freq_factor", "above low_freq_factor");
  }
  return scaling;
}

void read_dimensions(const ConfigReader& config, const nlohmann::json& json, const Defaults& defaults,
                     DecoderDescription& model) {
  model.vocabulary = config.integer_or("vocab_size", defaults.vocabulary, {1});
  model.hidden = config.integer_or("hidden_size", defaults.hidden, {1, kMostElements});
  model.layers = config.integer_or("num_hidden_layers", defaults.layers, {1, 1 << 16});
  model.mlp_hidden = config.integer_or("intermediate_size", defaults.mlp_hidden, {1, kMostElements});
  model.query_heads = config.integer_or("num_attention_heads", defaults.query_heads, {1, kMostHeads});
  // null means as many as query heads.
  const bool as_queries = defaults.kv_heads == 0 || json.contains("num_key_value_heads");
  model.kv_heads =
      config.integer_or("num_key_value_heads", as_queries ? model.query_heads : defaults.kv_heads, {1, kMostHeads});
  require_head_groups(config, "num_key_value_heads", model);
  const auto head_dim = config.optional_integer("head_dim", {1, 1 << 16});
  if (!head_dim && defaults.head_dim == 0 && model.hidden % model.query_heads != 0) {
    config.reject("num_attention_heads", fmt::format("a divisor of hidden_size ({})", model.hidden));
  }
  model.head_dim = head_dim.value_or(defaults.head_dim == 0 ? model.hidden / model.query_heads : defaults.head_dim);
  if (model.head_dim % 2 != 0) config.reject("head_dim", "even, since rotary embedding turns pairs");
  model.max_positions = config.integer_or("max_position_embeddings", defaults.max_positions, {1});
}

std::vector<std::int64_t> same_window(const DecoderDescription& model, std::int64_t window) {
  return std::vector<std::int64_t>(static_cast<std::size_t>(model.layers), window);
}

void describe_llama(const ConfigReader& config, const nlohmann::json& json, DecoderDescription& model) {
  describe_llama_lineage(config, json, {}, model);
  model.activation = named_activation(config, "hidden_act", "silu");
  model.qkv_bias = model.output_bias = config.boolean_or("attention_bias", false);
  model.mlp_bias = config.boolean_or("mlp_bias", false);
  model.windows = same_window(model, 0);
}

/// One key for the biases of all four projections of attention, which are there by default.
void describe_internlm(const ConfigReader& config, const nlohmann::json& json, DecoderDescription& model) {
  describe_llama_lineage(config, json, {.vocabulary = 103168}, model);
  model.activation = named_activation(config, "hidden_act", "silu");
  model.qkv_bias = model.output_bias = config.boolean_or("bias", true);
  model.windows = same_window(model, 0);
}

/// A key for the biases of queries, keys and values, one for those of all other projections.
void describe_internlm3(const ConfigReader& config, const nlohmann::json& json, DecoderDescription& model) {
  describe_llama_lineage(config, json, {.vocabulary = 128512, .max_positions = 32768}, model);
  model.activation = named_activation(config, "hidden_act", "silu");
  model.qkv_bias = config.boolean_or("qkv_bias", false);
  model.output_bias = model.mlp_bias = config.boolean_or("bias", false);
  model.windows = same_window(model, 0);
}

void describe_mistral(const ConfigReader& config, const nlohmann::json& json, DecoderDescription& model) {
  describe_llama_lineage(config, json, {.mlp_hidden = 14336, .kv_heads = 8, .max_positions = 131072}, model);
  model.activation = named_activation(config, "hidden_act", "silu");
  const std::int64_t window = read_window(config, json, 4096);
  set_windows(config, window, same_window(model, window), model);
}

/// Windows that use_sliding_window switches on, from layer max_window_layers on.
void set_switched_windows(const ConfigReader& config, const nlohmann::json& json, DecoderDescription& model) {
  const std::int64_t stated = read_window(config, json, 4096);
  const std::int64_t window = config.boolean_or("use_sliding_window", false) ? stated : 0;
  const std::int64_t first = config.integer_or("max_window_layers", 28, {0});
  std::vector<std::int64_t> windows = same_window(model, 0);
  for (std::int64_t layer = first; layer < model.layers; ++layer) windows[static_cast<std::size_t>(layer)] = window;
  set_windows(config, window, std::move(windows), model);
}

void describe_qwen2(const ConfigReader& config, const nlohmann::json& json, DecoderDescription& model) {
  describe_llama_lineage(config, json,
                         {.vocabulary = 151936, .mlp_hidden = 22016, .kv_heads = 32, .max_positions = 32768}, model);
  model.activation = named_activation(config, "hidden_act", "silu");
  model.qkv_bias = true;
  set_switched_windows(config, json, model);
}

void describe_qwen3(const ConfigReader& config, const nlohmann::json& json, DecoderDescription& model) {
  describe_llama_lineage(
      config, json,
      {.vocabulary = 151936, .mlp_hidden = 22016, .kv_heads = 32, .head_dim = 128, .max_positions = 32768}, model);
  model.activation = named_activation(config, "hidden_act", "silu");
  model.head_norms = true;
  model.qkv_bias = model.output_bias = config.boolean_or("attention_bias", false);
  set_switched_windows(config, json, model);
}

constexpr std::array kFamilies{
    Family{"FalconForCausalLM", "falcon", describe_falcon},
    Family{"RWForCausalLM", "falcon", describe_falcon},
    Family{"GemmaForCausalLM", "gemma", describe_gemma},
    Family{"Gemma2ForCausalLM", "gemma2", describe_gemma2},
    Family{"GPT2LMHeadModel", "gpt2", describe_gpt2},
    Family{"LlamaForCausalLM", "llama", describe_llama},
    Family{"AquilaForCausalLM", "llama", describe_llama},
    Family{"AquilaModel", "llama", describe_llama},
    Family{"InternLMForCausalLM", "llama", describe_internlm},
    Family{"InternLM3ForCausalLM", "llama", describe_internlm3},
    Family{"LLaMAForCausalLM", "llama", describe_llama},
    Family{"XverseForCausalLM", "llama", describe_llama},
    Family{"MistralForCausalLM", "mistral", describe_mistral},
    Family{"MixtralForCausalLM", "mixtral", describe_mixtral},
    Family{"Phi3ForCausalLM", "phi3", describe_phi3},
    Family{"Qwen2ForCausalLM", "qwen2", describe_qwen2},
    Family{"Qwen3ForCausalLM", "qwen3", describe_qwen3},
};

const Family& find_family(const ConfigReader& config, const std::string& where) {
  const std::vector<std::string> architectures = config.strings("architectures");
  const std::string model_type = config.string_or("model_type", "none");
  for (const Family& family : kFamilies) {
    if (architectures.empty() ? model_type == family.model_type : architectures.front() == family.architecture) {
      return family;
    }
  }
  std::vector<std::string> known;
  for (const Family& family : kFamilies) known.emplace_back(family.architecture);
  throw base::Unsupported(fmt::format(
      "[reference] the architecture must be one of {}; {} says architectures [{}], model_type {}; give a baseline from "
      "elsewhere with --reference",
      fmt::join(known, ", "), where, fmt::join(architectures, ", "), model_type));
}

} // namespace

void require_head_groups(const ConfigReader& config, const std::string& kv_key, const DecoderDescription& model) {
  if (model.query_heads % model.kv_heads == 0) return;
  config.reject(kv_key, fmt::format("a divisor of num_attention_heads ({})", model.query_heads));
}

void read_rotary(const ConfigReader& config, double default_theta, DecoderDescription& model) {
  model.rope_theta = config.number_or("rope_theta", default_theta, {1.0, 1e12});
  const double share = config.number_or("partial_rotary_factor", 1.0, {0.0, 1.0});
  model.rotary_dim = static_cast<std::int64_t>(static_cast<double>(model.head_dim) * share);
  if (model.rotary_dim < 2 || model.rotary_dim % 2 != 0) {
    config.reject("partial_rotary_factor", fmt::format("an even part of {} values", model.head_dim));
  }
  model.rotary_scaling = read_scaling(config, model);
}

Activation named_activation(const ConfigReader& config, const std::string& key, const std::string& fallback) {
  const std::string name = config.string_or(key, fallback);
  if (name == "silu" || name == "swish") return Activation::SILU;
  if (name == "gelu") return Activation::GELU;
  base::require<base::Unsupported>(
      name == "gelu_new" || name == "gelu_fast" || name == "gelu_pytorch_tanh",
      "[reference] {} must be silu, gelu, gelu_new, gelu_fast or gelu_pytorch_tanh; received {}; give a baseline from "
      "elsewhere with --reference",
      key, checkpoint::printable(name));
  return Activation::GELU_TANH;
}

void describe_llama_lineage(const ConfigReader& config, const nlohmann::json& json, const Defaults& defaults,
                            DecoderDescription& model) {
  read_dimensions(config, json, defaults, model);
  model.norm_eps = config.number_or("rms_norm_eps", defaults.norm_eps, {0.0, 1.0});
  read_rotary(config, defaults.rope_theta, model);
  if (model.rotary_dim != model.head_dim && !defaults.partial_rotary) {
    config.reject("partial_rotary_factor", "1 in this family");
  }
  model.tied = config.boolean_or("tie_word_embeddings", defaults.tied);
}

std::int64_t read_window(const ConfigReader& config, const nlohmann::json& json, std::int64_t fallback) {
  return config.integer_or("sliding_window", json.contains("sliding_window") ? 0 : fallback, {1});
}

void set_windows(const ConfigReader& config, std::int64_t window, std::vector<std::int64_t> otherwise,
                 DecoderDescription& model) {
  model.windows = std::move(otherwise);
  const std::vector<std::string> kinds = config.strings("layer_types");
  if (kinds.empty()) return;
  if (kinds.size() != model.windows.size()) {
    config.reject("layer_types", fmt::format("a list of {} kinds", model.layers));
  }
  for (std::size_t layer = 0; layer < kinds.size(); ++layer) {
    if (kinds[layer] != "full_attention" && kinds[layer] != "sliding_attention") {
      config.reject("layer_types", "a list of full_attention and sliding_attention");
    }
    const bool slides = kinds[layer] == "sliding_attention";
    if (slides && window == 0)
      config.reject("sliding_window", "a number of keys where layer_types says sliding_attention");
    model.windows[layer] = slides ? window : 0;
  }
}

DecoderDescription describe_decoder(const nlohmann::json& config, const std::string& where) {
  const nlohmann::json json = checkpoint::normalized_config(config, where);
  const ConfigReader reader(json, where);
  const Family& family = find_family(reader, where);
  DecoderDescription model;
  model.model_type = family.model_type;
  family.describe(reader, json, model);
  return model;
}

} // namespace tessera::reference
