#include "tessera/models/decoder_keys.hpp"

#include <cmath>
#include <map>

#include "tessera/base/error.hpp"
#include "tessera/checkpoint/json_text.hpp"

namespace tessera::models {

DataType read_stored_dtype(const checkpoint::ConfigReader& config) {
  return config.string_or("torch_dtype", "bfloat16") == "bfloat16" ? DataType::BFLOAT16 : DataType::FLOAT32;
}

ops::Activation read_activation(const checkpoint::ConfigReader& config, const char* key, const std::string& fallback) {
  static const std::map<std::string, ops::Activation> kActivations = {
      {"silu", ops::Activation::SILU},           {"swish", ops::Activation::SILU},
      {"gelu", ops::Activation::GELU},           {"gelu_new", ops::Activation::GELU_TANH},
      {"gelu_fast", ops::Activation::GELU_TANH}, {"gelu_pytorch_tanh", ops::Activation::GELU_TANH}};
  const std::string name = config.string_or(key, fallback);
  const auto found = kActivations.find(name);
  base::require<base::Unsupported>(
      found != kActivations.end(),
      "[config] {} silu, gelu, gelu_new, gelu_fast or gelu_pytorch_tanh is required; received \"{}\", which is not "
      "built yet",
      key, checkpoint::printable(name));
  return found->second;
}

ops::Activation read_plain_activation(const checkpoint::ConfigReader& config, const char* key,
                                      const std::string& fallback) {
  const ops::Activation activation = read_activation(config, key, fallback);
  base::require<base::Unsupported>(activation != ops::Activation::SILU,
                                   "[config] {} gelu, gelu_new, gelu_fast or gelu_pytorch_tanh is required in an MLP "
                                   "without a gate; received silu, which is not built yet",
                                   key);
  return activation;
}

std::int64_t read_renamed(const checkpoint::ConfigReader& config, const char* key, const char* other,
                          std::int64_t fallback, checkpoint::IntegerRange range) {
  const auto value = config.optional_integer(key, range);
  const auto other_value = config.optional_integer(other, range);
  if (value && other_value && *value != *other_value)
    config.reject(key, fmt::format("{}, as {} says", *other_value, other));
  return value ? *value : other_value.value_or(fallback);
}

namespace {

nn::Llama3RopeScaling read_llama3(const checkpoint::ConfigReader& scaling) {
  const nn::Llama3RopeScaling llama3{
      .factor = scaling.number("factor", {.min = 1.0, .max = 1e6}),
      .low_freq_factor = scaling.number("low_freq_factor", {.min = 1e-6, .max = 1e6}),
      .high_freq_factor = scaling.number("high_freq_factor", {.min = 1e-6, .max = 1e6}),
      .original_max_positions = scaling.number("original_max_position_embeddings", {.min = 1.0, .max = 1e9})};
  if (llama3.high_freq_factor <= llama3.low_freq_factor)
    scaling.reject("high_freq_factor", "greater than low_freq_factor");
  return llama3;
}

/// The key beside rope_scaling leads (transformers, standardize_rope_params); `fallback` where there is none.
std::int64_t original_positions(const checkpoint::ConfigReader& config, const checkpoint::ConfigReader& scaling,
                                std::int64_t fallback) {
  constexpr const char* kKey = "original_max_position_embeddings";
  const checkpoint::IntegerRange range{.min = 2, .max = kMostPositions};
  const auto inner = scaling.optional_integer(kKey, range);
  return config.integer_or(kKey, inner.value_or(fallback), range);
}

/// YaRN, with the attention factor that transformers' _compute_yarn_parameters derives.
void read_yarn(const checkpoint::ConfigReader& config, const checkpoint::ConfigReader& scaling,
               std::int64_t max_positions, nn::RopeConfig& rope) {
  const checkpoint::NumberRange positive{.min = 1e-6, .max = 1e6};
  const nn::YarnRopeScaling yarn{
      .factor = scaling.number("factor", {.min = 1.0, .max = 1e6}),
      .beta_fast = scaling.number_or("beta_fast", 32.0, positive),
      .beta_slow = scaling.number_or("beta_slow", 1.0, positive),
      .original_max_positions = static_cast<double>(original_positions(config, scaling, max_positions)),
      .truncate = scaling.boolean_or("truncate", true)};
  const auto magnitude = [&](double scale) { return 0.1 * scale * std::log(yarn.factor) + 1.0; };
  const auto mscale = scaling.optional_number("mscale", positive);
  const auto mscale_all = scaling.optional_number("mscale_all_dim", positive);
  const double derived = mscale && mscale_all ? magnitude(*mscale) / magnitude(*mscale_all) : magnitude(1.0);
  rope.attention_factor = scaling.number_or("attention_factor", derived, positive);
  rope.yarn = yarn;
}

/// LongRoPE, with the attention factor that transformers' _compute_longrope_parameters derives.
void read_longrope(const checkpoint::ConfigReader& config, const checkpoint::ConfigReader& scaling,
                   std::int64_t rotary_dim, std::int64_t max_positions, nn::RopeConfig& rope) {
  constexpr std::int64_t kDefaultOriginal = 4096; // Phi3Config's
  nn::LongRopeScaling longrope{.original_max_positions = original_positions(config, scaling, kDefaultOriginal)};
  for (const auto& [key, factors] :
       {std::pair{"short_factor", &longrope.short_factor}, std::pair{"long_factor", &longrope.long_factor}}) {
    *factors = scaling.numbers(key, {.min = 1e-6, .max = 1e6});
    if (static_cast<std::int64_t>(factors->size()) != rotary_dim / 2)
      scaling.reject(key, fmt::format("a list of {} numbers, one for each pair of values that turns", rotary_dim / 2));
  }
  const auto original = static_cast<double>(longrope.original_max_positions);
  const double factor =
      scaling.number_or("factor", static_cast<double>(max_positions) / original, {.min = 1e-6, .max = 1e6});
  const double derived = factor <= 1.0 ? 1.0 : std::sqrt(1.0 + std::log(factor) / std::log(original));
  rope.attention_factor = scaling.number_or("attention_factor", derived, {.min = 1e-6, .max = 1e6});
  rope.longrope = std::move(longrope);
}

} // namespace

nn::RopeConfig read_rope(const checkpoint::ConfigReader& config, std::int64_t head_dim, std::int64_t max_positions,
                         double default_theta) {
  nn::RopeConfig rope{.theta = config.number_or("rope_theta", default_theta, {.min = 1.0, .max = 1e12})};
  const double share = config.number_or("partial_rotary_factor", 1.0, {.min = 0.0, .max = 1.0});
  const auto turned = static_cast<std::int64_t>(static_cast<double>(head_dim) * share);
  if (turned < 2 || turned % 2 != 0)
    config.reject("partial_rotary_factor",
                  fmt::format("such that an even part of the {} values of a head turns", head_dim));
  if (turned != head_dim) rope.rotary_dim = turned;
  const auto scaling = config.object("rope_scaling");
  if (!scaling) return rope;
  const std::string type = scaling->string_or("rope_type", "default");
  if (type == "linear") {
    rope.linear_factor = scaling->number("factor", {.min = 1.0, .max = 1e6});
  } else if (type == "llama3") {
    rope.llama3 = read_llama3(*scaling);
  } else if (type == "longrope" || type == "su" || (type == "yarn" && scaling->has("short_factor"))) {
    read_longrope(config, *scaling, turned, max_positions, rope);
  } else if (type == "yarn") {
    read_yarn(config, *scaling, max_positions, rope);
  } else {
    // "dynamic" stretches sequences beyond max_position_embeddings only, which is the longest that is taken.
    base::require<base::Unsupported>(
        type == "default" || type == "dynamic",
        "[config] rope_scaling.rope_type default, linear, dynamic, llama3, yarn or longrope is required; "
        "received \"{}\", which is not built yet",
        type);
  }
  return rope;
}

nn::DecoderConfig read_decoder_keys(const checkpoint::ConfigReader& config, std::string_view family,
                                    const DecoderDefaults& defaults) {
  const checkpoint::IntegerRange extent{.min = 1, .max = kLargestExtent};
  const checkpoint::IntegerRange heads{.min = 1, .max = kMostHeads};
  nn::DecoderConfig decoder;
  decoder.family = family;
  decoder.vocab_size = config.integer_or("vocab_size", defaults.vocab_size, extent);
  decoder.hidden_size = config.integer_or("hidden_size", defaults.hidden_size, extent);
  decoder.intermediate_size = config.integer_or("intermediate_size", defaults.intermediate_size, extent);
  decoder.layers = config.integer_or("num_hidden_layers", defaults.layers, {.min = 1, .max = kMostLayers});
  decoder.heads = config.integer_or("num_attention_heads", defaults.heads, heads);
  const bool all_heads = defaults.kv_heads == 0 || config.is_null("num_key_value_heads");
  decoder.kv_heads = config.integer_or("num_key_value_heads", all_heads ? decoder.heads : defaults.kv_heads, heads);
  if (decoder.heads % decoder.kv_heads != 0)
    config.reject("num_key_value_heads", fmt::format("a divisor of num_attention_heads ({})", decoder.heads));
  const auto head_dim = config.optional_integer("head_dim", {.min = 2, .max = 4096});
  if (!head_dim && defaults.head_dim == 0 && decoder.hidden_size % decoder.heads != 0) {
    config.reject("hidden_size",
                  fmt::format("a multiple of num_attention_heads ({}) where head_dim is not given", decoder.heads));
  }
  decoder.head_dim = head_dim.value_or(defaults.head_dim > 0 ? defaults.head_dim : decoder.hidden_size / decoder.heads);
  base::require(decoder.head_dim % 2 == 0,
                "[config] head_dim must be even, since rotary embedding turns pairs; received {}", decoder.head_dim);
  decoder.max_positions =
      config.integer_or("max_position_embeddings", defaults.max_positions, {.min = 1, .max = kMostPositions});
  decoder.norm_epsilon = config.number_or("rms_norm_eps", defaults.norm_epsilon, {.min = 0.0, .max = 1.0});
  decoder.rope = read_rope(config, decoder.head_dim, decoder.max_positions, defaults.rope_theta);
  if (decoder.rope.rotary_dim != 0 && !defaults.partial_rotary)
    config.reject("partial_rotary_factor", fmt::format("1 in the family {}", family));
  decoder.tied_embeddings = config.boolean_or("tie_word_embeddings", defaults.tied);
  decoder.sliding_window.assign(static_cast<std::size_t>(decoder.layers), 0);
  decoder.stored_dtype = read_stored_dtype(config);
  decoder.activation = read_activation(config, defaults.activation_key, defaults.activation);
  return decoder;
}

std::int64_t read_window(const checkpoint::ConfigReader& config, std::int64_t fallback) {
  return config.integer_or("sliding_window", config.is_null("sliding_window") ? 0 : fallback, {.min = 1});
}

std::vector<std::int64_t> read_switched_windows(const checkpoint::ConfigReader& config, std::int64_t layers) {
  const bool windowed = config.boolean_or("use_sliding_window", false);
  const std::int64_t stated = read_window(config, 4096);
  const std::int64_t window = windowed ? stated : 0;
  const std::int64_t first = config.integer_or("max_window_layers", 28, {.min = 0});
  std::vector<std::int64_t> windows(static_cast<std::size_t>(layers), 0);
  for (std::int64_t layer = first; layer < layers; ++layer) windows[static_cast<std::size_t>(layer)] = window;
  return read_layer_windows(config, window, std::move(windows));
}

std::vector<std::int64_t> read_layer_windows(const checkpoint::ConfigReader& config, std::int64_t window,
                                             std::vector<std::int64_t> fallback) {
  const std::vector<std::string> types = config.strings("layer_types");
  if (types.empty()) return fallback;
  if (types.size() != fallback.size())
    config.reject("layer_types", fmt::format("a list of {} entries, one for each layer", fallback.size()));
  for (std::size_t layer = 0; layer < types.size(); ++layer) {
    const bool sliding = types[layer] == "sliding_attention";
    if (!sliding && types[layer] != "full_attention")
      config.reject("layer_types", "a list of \"full_attention\" and \"sliding_attention\"");
    if (sliding && window == 0)
      config.reject("sliding_window", "a number of positions where layer_types has sliding_attention");
    fallback[layer] = sliding ? window : 0;
  }
  return fallback;
}

} // namespace tessera::models
