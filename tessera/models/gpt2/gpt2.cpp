#include "tessera/models/gpt2/gpt2.hpp"

#include "tessera/base/error.hpp"
#include "tessera/models/decoder_keys.hpp"

namespace tessera::models {

nn::DecoderConfig configure_gpt2(const checkpoint::ConfigReader& config) {
  base::require<base::Unsupported>(
      !config.boolean_or("add_cross_attention", false),
      "[config] add_cross_attention false is required; received true, which is not built yet");
  nn::DecoderConfig decoder;
  decoder.family = "gpt2";
  const checkpoint::IntegerRange extent{.min = 1, .max = kLargestExtent};
  decoder.vocab_size = config.integer_or("vocab_size", 50257, extent);
  decoder.hidden_size = read_renamed(config, "n_embd", "hidden_size", 768, extent);
  decoder.layers = read_renamed(config, "n_layer", "num_hidden_layers", 12, {.min = 1, .max = kMostLayers});
  decoder.heads = decoder.kv_heads =
      read_renamed(config, "n_head", "num_attention_heads", 12, {.min = 1, .max = kMostHeads});
  if (decoder.hidden_size % decoder.heads != 0)
    config.reject("n_embd", fmt::format("a multiple of n_head ({})", decoder.heads));
  decoder.head_dim = decoder.hidden_size / decoder.heads;
  decoder.intermediate_size = config.integer_or("n_inner", 4 * decoder.hidden_size, extent);
  decoder.max_positions =
      read_renamed(config, "n_positions", "max_position_embeddings", 1024, {.min = 1, .max = kMostPositions});
  decoder.norm = nn::NormKind::LAYER;
  decoder.norm_epsilon = config.number_or("layer_norm_epsilon", 1e-5, {.min = 0.0, .max = 1.0});
  decoder.positions = nn::PositionKind::LEARNED;
  decoder.qkv = nn::QkvLayout::STACKED;
  decoder.transposed_linears = true;
  decoder.qkv_bias = decoder.o_bias = decoder.mlp_bias = true;
  decoder.gated_mlp = false;
  decoder.activation = read_plain_activation(config, "activation_function", "gelu_new");
  if (!config.boolean_or("scale_attn_weights", true)) decoder.attention_scale = 1.0;
  decoder.scale_by_inverse_layer = config.boolean_or("scale_attn_by_inverse_layer_idx", false);
  decoder.tied_embeddings = config.boolean_or("tie_word_embeddings", true);
  decoder.sliding_window.assign(static_cast<std::size_t>(decoder.layers), 0);
  decoder.stored_dtype = read_stored_dtype(config);
  for (const char* key :
       {"attn_pdrop", "embd_pdrop", "n_ctx", "reorder_and_upcast_attn", "resid_pdrop", "summary_activation",
        "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj", "task_specific_params"})
    config.has(key); // of no effect
  return decoder;
}

nn::DecoderNames gpt2_names(const nn::DecoderConfig& /*decoder*/) {
  return {.embedding = "transformer.wte",
          .position_embedding = "transformer.wpe",
          .final_norm = "transformer.ln_f",
          .layer = "transformer.h.{}.",
          .input_norm = "ln_1",
          .qkv = "attn.c_attn",
          .o = "attn.c_proj",
          .masks = {"attn.bias", "attn.masked_bias"},
          .post_attention_norm = "ln_2",
          .up = "mlp.c_fc",
          .down = "mlp.c_proj"};
}

} // namespace tessera::models
