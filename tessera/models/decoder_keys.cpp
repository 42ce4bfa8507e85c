#include "tessera/models/decoder_keys.hpp"

#include "tessera/base/error.hpp"

namespace tessera::models {

DataType read_stored_dtype(const checkpoint::ConfigReader& config) {
  return config.string_or("torch_dtype", "bfloat16") == "bfloat16" ? DataType::BFLOAT16 : DataType::FLOAT32;
}

nn::RopeConfig read_rope(const checkpoint::ConfigReader& config) {
  nn::RopeConfig rope{.theta = config.number_or("rope_theta", 10000.0, {.min = 1.0, .max = 1e12})};
  const double rotated = config.number_or("partial_rotary_factor", 1.0, {.min = 0.0, .max = 1.0});
  base::require<base::Unsupported>(
      rotated == 1.0, "[config] partial_rotary_factor 1 is required; received {}, which is not built yet", rotated);
  const auto scaling = config.object("rope_scaling");
  if (!scaling) return rope;
  const std::string type = scaling->string_or("rope_type", "default");
  if (type == "default") return rope;
  if (type == "linear") {
    rope.linear_factor = scaling->number("factor", {.min = 1.0, .max = 1e6});
    return rope;
  }
  base::require<base::Unsupported>(
      type == "llama3",
      "[config] rope_scaling.rope_type default, linear or llama3 is required; received \"{}\", which is not built yet",
      type);
  nn::Llama3RopeScaling llama3{
      .factor = scaling->number("factor", {.min = 1.0, .max = 1e6}),
      .low_freq_factor = scaling->number("low_freq_factor", {.min = 1e-6, .max = 1e6}),
      .high_freq_factor = scaling->number("high_freq_factor", {.min = 1e-6, .max = 1e6}),
      .original_max_positions = scaling->number("original_max_position_embeddings", {.min = 1.0, .max = 1e9})};
  if (llama3.high_freq_factor <= llama3.low_freq_factor)
    scaling->reject("high_freq_factor", "greater than low_freq_factor");
  rope.llama3 = llama3;
  return rope;
}

nn::DecoderConfig read_decoder_keys(const checkpoint::ConfigReader& config, std::string_view family,
                                    const DecoderDefaults& defaults) {
  const checkpoint::IntegerRange extent{.min = 1, .max = kLargestExtent};
  nn::DecoderConfig decoder;
  decoder.family = family;
  decoder.vocab_size = config.integer("vocab_size", extent);
  decoder.hidden_size = config.integer("hidden_size", extent);
  decoder.intermediate_size = config.integer("intermediate_size", extent);
  decoder.layers = config.integer("num_hidden_layers", {.min = 1, .max = kMostLayers});
  decoder.heads = config.integer("num_attention_heads", {.min = 1, .max = kMostHeads});
  decoder.kv_heads = config.integer_or("num_key_value_heads", defaults.kv_heads > 0 ? defaults.kv_heads : decoder.heads,
                                       {.min = 1, .max = kMostHeads});
  if (decoder.heads % decoder.kv_heads != 0)
    config.reject("num_key_value_heads", fmt::format("a divisor of num_attention_heads ({})", decoder.heads));
  if (const auto head_dim = config.optional_integer("head_dim", {.min = 2, .max = 4096})) {
    decoder.head_dim = *head_dim;
  } else {
    if (decoder.hidden_size % decoder.heads != 0) {
      config.reject("hidden_size",
                    fmt::format("a multiple of num_attention_heads ({}) where head_dim is not given", decoder.heads));
    }
    decoder.head_dim = decoder.hidden_size / decoder.heads;
  }
  base::require(decoder.head_dim % 2 == 0,
                "[config] head_dim must be even, since rotary embedding turns pairs; received {}", decoder.head_dim);
  decoder.max_positions = config.integer_or("max_position_embeddings", 2048, {.min = 1, .max = kMostPositions});
  decoder.norm_epsilon = config.number_or("rms_norm_eps", 1e-6, {.min = 0.0, .max = 1.0});
  decoder.rope = read_rope(config);
  decoder.tied_embeddings = config.boolean_or("tie_word_embeddings", false);
  decoder.sliding_window.assign(static_cast<std::size_t>(decoder.layers), 0);
  decoder.stored_dtype = read_stored_dtype(config);
  const std::string activation = config.string_or("hidden_act", "silu");
  base::require<base::Unsupported>(activation == "silu" || activation == "swish",
                                   "[config] hidden_act silu is required; received \"{}\", which is not built yet",
                                   activation);
  return decoder;
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
