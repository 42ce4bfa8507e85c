#include "tessera/reference/decoder_description.hpp"

#include <fmt/ranges.h>

#include <array>
#include <nlohmann/json.hpp>

#include "tessera/base/error.hpp"
#include "tessera/checkpoint/config_reader.hpp"
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

RotaryScaling read_scaling(const ConfigReader& config) {
  const auto object = config.object("rope_scaling");
  if (!object) return {};
  const checkpoint::NumberRange positive{1e-6, 1e9};
  const std::string kind = object->string("rope_type");
  if (kind == "default") return {};
  RotaryScaling scaling;
  if (kind == "linear") {
    scaling.kind = RotaryScaling::Kind::LINEAR;
    scaling.factor = object->number("factor", positive);
    return scaling;
  }
  base::require<base::Unsupported>(
      kind == "llama3",
      "[reference] rope_scaling.rope_type must be default, linear or llama3; received {}; give a "
      "baseline from elsewhere with --reference",
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

/// Keys that a windowed layer sees, or 0 when the model has no window.
std::int64_t read_window(const ConfigReader& config, const nlohmann::json& json, const std::string& model_type) {
  constexpr std::int64_t kDefaultWindow = 4096;
  if (model_type == "llama") return 0;
  if (model_type == "qwen2" && !config.boolean_or("use_sliding_window", false)) return 0;
  // A window of null means none; an absent key means the default.
  const std::int64_t fallback = json.contains("sliding_window") ? 0 : kDefaultWindow;
  return config.integer_or("sliding_window", fallback, {1});
}

std::vector<std::int64_t> read_windows(const ConfigReader& config, const nlohmann::json& json,
                                       const DecoderDescription& model) {
  const std::int64_t window = read_window(config, json, model.model_type);
  // Qwen2's first max_window_layers layers see everything.
  const std::int64_t first_windowed = model.model_type == "qwen2" ? config.integer_or("max_window_layers", 28, {0}) : 0;
  std::vector<std::int64_t> windows;
  for (std::int64_t layer = 0; layer < model.layers; ++layer) {
    windows.push_back(layer >= first_windowed ? window : 0);
  }
  const std::vector<std::string> kinds = config.strings("layer_types");
  if (kinds.empty() || model.model_type == "llama") return windows;
  if (kinds.size() != windows.size()) config.reject("layer_types", fmt::format("a list of {} kinds", model.layers));
  for (std::size_t layer = 0; layer < kinds.size(); ++layer) {
    if (kinds[layer] != "full_attention" && kinds[layer] != "sliding_attention") {
      config.reject("layer_types", "a list of full_attention and sliding_attention");
    }
    windows[layer] = kinds[layer] == "sliding_attention" ? window : 0;
  }
  return windows;
}

/// Defaults of keys that the Llama lineage's families share but for these.
struct Defaults {
  std::int64_t kv_heads; // 0: as many as query heads
  std::int64_t max_positions;
};

void read_dimensions(const ConfigReader& config, const Defaults& defaults, DecoderDescription& model) {
  model.vocabulary = config.integer("vocab_size", {1});
  model.hidden = config.integer("hidden_size", {1, 1 << 24});
  model.layers = config.integer("num_hidden_layers", {1, 1 << 16});
  model.mlp_hidden = config.integer("intermediate_size", {1, 1 << 24});
  model.query_heads = config.integer("num_attention_heads", {1, kMostHeads});
  const std::int64_t default_kv_heads = defaults.kv_heads == 0 ? model.query_heads : defaults.kv_heads;
  model.kv_heads = config.integer_or("num_key_value_heads", default_kv_heads, {1, kMostHeads});
  require_head_groups(config, "num_key_value_heads", model);
  const auto head_dim = config.optional_integer("head_dim", {1, 1 << 16});
  if (!head_dim && model.hidden % model.query_heads != 0) {
    config.reject("num_attention_heads", fmt::format("a divisor of hidden_size ({})", model.hidden));
  }
  model.head_dim = head_dim.value_or(model.hidden / model.query_heads);
  if (model.head_dim % 2 != 0) config.reject("head_dim", "even, since rotary embedding turns pairs");
  model.max_positions = config.integer_or("max_position_embeddings", defaults.max_positions, {1});
}

void describe_llama_lineage(const ConfigReader& config, const nlohmann::json& json, const Defaults& defaults,
                            DecoderDescription& model) {
  read_dimensions(config, defaults, model);
  model.norm_eps = config.number_or("rms_norm_eps", 1e-6, {0.0, 1.0});
  read_rotary(config, model);
  if (config.number_or("partial_rotary_factor", 1.0, {0.0, 1.0}) != 1.0) {
    config.reject("partial_rotary_factor", "1 in this family");
  }
  if (config.string_or("hidden_act", "silu") != "silu") config.reject("hidden_act", "silu in this family");
  model.tied = config.boolean_or("tie_word_embeddings", false);
  model.windows = read_windows(config, json, model);
}

void describe_llama(const ConfigReader& config, const nlohmann::json& json, DecoderDescription& model) {
  describe_llama_lineage(config, json, {0, 2048}, model);
  model.qkv_bias = model.output_bias = config.boolean_or("attention_bias", false);
  model.mlp_bias = config.boolean_or("mlp_bias", false);
}

void describe_mistral(const ConfigReader& config, const nlohmann::json& json, DecoderDescription& model) {
  describe_llama_lineage(config, json, {8, 131072}, model);
}

void describe_qwen2(const ConfigReader& config, const nlohmann::json& json, DecoderDescription& model) {
  describe_llama_lineage(config, json, {32, 32768}, model);
  model.qkv_bias = true;
}

constexpr std::array<Family, 4> kFamilies{{
    {"FalconForCausalLM", "falcon", describe_falcon},
    {"LlamaForCausalLM", "llama", describe_llama},
    {"MistralForCausalLM", "mistral", describe_mistral},
    {"Qwen2ForCausalLM", "qwen2", describe_qwen2},
}};

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

void read_rotary(const ConfigReader& config, DecoderDescription& model) {
  model.rope_theta = config.number_or("rope_theta", 10000.0, {1.0, 1e12});
  model.rotary_scaling = read_scaling(config);
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
