#include "tessera/models/gemma/gemma.hpp"

#include <cmath>

#include "tessera/base/error.hpp"
#include "tessera/models/decoder_keys.hpp"

namespace tessera::models {
namespace {

/// What both have in common.
nn::DecoderConfig configure(const checkpoint::ConfigReader& config, std::string_view family,
                            const DecoderDefaults& defaults) {
  nn::DecoderConfig decoder = read_decoder_keys(config, family, defaults);
  decoder.norm_weight_offset = 1.0;
  decoder.embedding_scale = std::sqrt(static_cast<double>(decoder.hidden_size));
  decoder.qkv_bias = decoder.o_bias = config.boolean_or("attention_bias", false);
  config.has("hidden_act"); // the original sets it aside: hidden_activation, or the form by tanh
  base::require<base::Unsupported>(!config.boolean_or("use_bidirectional_attention", false),
                                   "[config] use_bidirectional_attention false is required; received true, which is "
                                   "not built yet");
  return decoder;
}

} // namespace

nn::DecoderConfig configure_gemma(const checkpoint::ConfigReader& config) {
  return configure(config, "gemma",
                   {.vocab_size = 256000,
                    .hidden_size = 3072,
                    .intermediate_size = 24576,
                    .layers = 28,
                    .heads = 16,
                    .kv_heads = 16,
                    .head_dim = 256,
                    .max_positions = 8192,
                    .tied = true,
                    .activation_key = "hidden_activation",
                    .activation = "gelu_pytorch_tanh"});
}

nn::DecoderConfig configure_gemma2(const checkpoint::ConfigReader& config) {
  nn::DecoderConfig decoder = configure(config, "gemma2",
                                        {.vocab_size = 256000,
                                         .hidden_size = 2304,
                                         .intermediate_size = 9216,
                                         .layers = 26,
                                         .heads = 8,
                                         .kv_heads = 4,
                                         .head_dim = 256,
                                         .max_positions = 8192,
                                         .tied = true,
                                         .activation_key = "hidden_activation",
                                         .activation = "gelu_pytorch_tanh"});
  decoder.output_norms = true;
  decoder.attention_scale =
      1.0 / std::sqrt(config.number_or("query_pre_attn_scalar", 256.0, {.min = 1e-6, .max = 1e9}));
  const auto cap = [&](const char* key, double fallback) {
    return config.number_or(key, config.is_null(key) ? 0.0 : fallback, {.min = 1e-6, .max = 1e9});
  };
  decoder.attention_softcap = cap("attn_logit_softcapping", 50.0);
  decoder.logit_softcap = cap("final_logit_softcapping", 30.0);
  const std::int64_t window = read_window(config, 4096);
  for (std::size_t layer = 0; layer < decoder.sliding_window.size(); layer += 2) decoder.sliding_window[layer] = window;
  decoder.sliding_window = read_layer_windows(config, window, decoder.sliding_window);
  config.has("cache_implementation"); // of no effect
  return decoder;
}

nn::DecoderNames gemma2_names(const nn::DecoderConfig& /*decoder*/) {
  nn::DecoderNames names;
  names.attention_output_norm = "post_attention_layernorm";
  names.post_attention_norm = "pre_feedforward_layernorm";
  names.mlp_output_norm = "post_feedforward_layernorm";
  return names;
}

} // namespace tessera::models
