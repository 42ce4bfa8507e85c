#include "tessera/models/falcon/falcon.hpp"

#include "tessera/models/decoder_keys.hpp"

namespace tessera::models {
nn::DecoderConfig configure_falcon(const checkpoint::ConfigReader& config) {
  nn::DecoderConfig decoder;
  decoder.family = "falcon";
  const checkpoint::IntegerRange extent{.min = 1, .max = kLargestExtent};
  const checkpoint::IntegerRange heads{.min = 1, .max = kMostHeads};
  decoder.vocab_size = config.integer_or("vocab_size", 65024, extent);
  decoder.hidden_size = read_renamed(config, "hidden_size", "n_embed", 4544, extent);
  decoder.layers = read_renamed(config, "num_hidden_layers", "n_layer", 32, {.min = 1, .max = kMostLayers});
  decoder.heads = read_renamed(config, "num_attention_heads", "n_head", 71, heads);
  decoder.intermediate_size = config.integer_or("ffn_hidden_size", 4 * decoder.hidden_size, extent);
  decoder.max_positions = config.integer_or("max_position_embeddings", 2048, {.min = 1, .max = kMostPositions});
  if (decoder.hidden_size % (2 * decoder.heads) != 0) {
    config.reject("hidden_size", fmt::format("a multiple of 2 x {}: rotary embedding turns pairs of each of "
                                             "num_attention_heads heads",
                                             decoder.heads));
  }
  decoder.head_dim = decoder.hidden_size / decoder.heads;

  // transformers: "if True, the multi_query and parallel_attn arguments are ignored".
  // RefinedWeb is the 40B's first name, when it had no key for that.
  const bool refined_web = config.string_or("model_type", "") == "RefinedWeb";
  const bool new_architecture = config.boolean_or("new_decoder_architecture", refined_web);
  const bool multi_query = config.boolean_or("multi_query", true);
  const bool parallel = config.boolean_or("parallel_attn", true);
  const std::int64_t kv_heads = read_renamed(config, "num_kv_heads", "n_head_kv", decoder.heads, heads);
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
  if (config.boolean_or("alibi", false)) decoder.positions = nn::PositionKind::ALIBI;
  decoder.rope = read_rope(config, decoder.head_dim, decoder.max_positions);
  decoder.gated_mlp = false;
  decoder.activation = read_plain_activation(config, "activation", "gelu");
  decoder.qkv = nn::QkvLayout::GROUPED;
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
