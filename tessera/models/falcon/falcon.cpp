#include "tessera/models/falcon/falcon.hpp"

#include "tessera/base/error.hpp"
#include "tessera/models/decoder_keys.hpp"

namespace tessera::models {
namespace {

/// The value of a key that had another name before the family came to transformers.
std::int64_t renamed_key(const checkpoint::ConfigReader& config, const char* key, const char* older,
                         std::int64_t fallback, checkpoint::IntegerRange range) {
  const auto value = config.optional_integer(key, range);
  const auto older_value = config.optional_integer(older, range);
  if (value && older_value && *value != *older_value)
    config.reject(key, fmt::format("{}, as {} says", *older_value, older));
  return value ? *value : older_value.value_or(fallback);
}

ops::Activation read_activation(const checkpoint::ConfigReader& config) {
  const std::string name = config.string_or("activation", "gelu");
  if (name == "gelu") return ops::Activation::GELU;
  base::require<base::Unsupported>(
      name == "gelu_new" || name == "gelu_pytorch_tanh",
      "[config] activation gelu, gelu_new or gelu_pytorch_tanh is required; received \"{}\", which is not built yet",
      name);
  return ops::Activation::GELU_TANH;
}

} // namespace

nn::DecoderConfig configure_falcon(const checkpoint::ConfigReader& config) {
  base::require<base::Unsupported>(!config.boolean_or("alibi", false),
                                   "[config] alibi false is required; received true: biases by distance in place of "
                                   "rotary embedding (ALiBi) are not built yet");
  nn::DecoderConfig decoder;
  decoder.family = "falcon";
  const checkpoint::IntegerRange extent{.min = 1, .max = kLargestExtent};
  const checkpoint::IntegerRange heads{.min = 1, .max = kMostHeads};
  decoder.vocab_size = config.integer_or("vocab_size", 65024, extent);
  decoder.hidden_size = renamed_key(config, "hidden_size", "n_embed", 4544, extent);
  decoder.layers = renamed_key(config, "num_hidden_layers", "n_layer", 32, {.min = 1, .max = kMostLayers});
  decoder.heads = renamed_key(config, "num_attention_heads", "n_head", 71, heads);
  decoder.intermediate_size = config.integer_or("ffn_hidden_size", 4 * decoder.hidden_size, extent);
  decoder.max_positions = config.integer_or("max_position_embeddings", 2048, {.min = 1, .max = kMostPositions});
  if (decoder.hidden_size % (2 * decoder.heads) != 0) {
    config.reject("hidden_size", fmt::format("a multiple of 2 x {}: rotary embedding turns pairs of each of "
                                             "num_attention_heads heads",
                                             decoder.heads));
  }
  decoder.head_dim = decoder.hidden_size / decoder.heads;

  // transformers: "if True, the multi_query and parallel_attn arguments are ignored".
  const bool new_architecture = config.boolean_or("new_decoder_architecture", false);
  const bool multi_query = config.boolean_or("multi_query", true);
  const bool parallel = config.boolean_or("parallel_attn", true);
  const std::int64_t kv_heads = renamed_key(config, "num_kv_heads", "n_head_kv", decoder.heads, heads);
  decoder.kv_heads = new_architecture || !multi_query ? kv_heads : 1;
  if (decoder.heads % decoder.kv_heads != 0)
    config.reject("num_kv_heads", fmt::format("a divisor of num_attention_heads ({})", decoder.heads));
  if (!new_architecture && !multi_query && kv_heads != decoder.heads)
    config.reject("num_kv_heads",
                  fmt::format("num_attention_heads ({}) without new_decoder_architecture", decoder.heads));
  decoder.parallel_residual = new_architecture || parallel;
  const std::int64_t norms =
      config.integer_or("num_ln_in_parallel_attn", new_architecture ? 2 : 1, {.min = 1, .max = 2});
  decoder.mlp_norm = new_architecture ? norms == 2 : !parallel;

  decoder.norm = nn::NormKind::LAYER;
  decoder.norm_epsilon = config.number_or("layer_norm_epsilon", 1e-5, {.min = 0.0, .max = 1.0});
  decoder.rope = read_rope(config);
  decoder.gated_mlp = false;
  decoder.activation = read_activation(config);
  decoder.fused_qkv = true;
  decoder.qkv_bias = decoder.o_bias = decoder.mlp_bias = config.boolean_or("bias", false);
  decoder.tied_embeddings = config.boolean_or("tie_word_embeddings", true);
  decoder.sliding_window.assign(static_cast<std::size_t>(decoder.layers), 0);
  decoder.stored_dtype = read_stored_dtype(config);
  for (const char* key : {"apply_residual_connection_post_layernorm", "hidden_dropout"})
    config.has(key); // of no effect
  return decoder;
}

nn::DecoderNames falcon_names(const nn::DecoderConfig& decoder) {
  const bool parallel_norms = decoder.parallel_residual && decoder.mlp_norm;
  return {.embedding = "transformer.word_embeddings",
          .final_norm = "transformer.ln_f",
          .layer = "transformer.h.{}.",
          .input_norm = parallel_norms ? "ln_attn" : "input_layernorm",
          .qkv = "self_attention.query_key_value",
          .o = "self_attention.dense",
          .rotary_frequencies = "self_attention.rotary_emb.inv_freq",
          .post_attention_norm = parallel_norms ? "ln_mlp" : "post_attention_layernorm",
          .up = "mlp.dense_h_to_4h",
          .down = "mlp.dense_4h_to_h"};
}

} // namespace tessera::models
