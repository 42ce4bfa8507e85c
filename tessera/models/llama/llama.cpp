#include "tessera/models/llama/llama.hpp"

#include "tessera/models/decoder_keys.hpp"

namespace tessera::models {

nn::DecoderConfig configure_llama(const checkpoint::ConfigReader& config) {
  nn::DecoderConfig decoder = read_decoder_keys(config, "llama", {});
  // InternLM: `bias` of all attention projections; InternLM 3: `qkv_bias` of three, `bias` of all others.
  const bool newer_internlm = config.has("qkv_bias");
  const bool bias = config.boolean_or("bias", false);
  decoder.o_bias = config.boolean_or("attention_bias", bias);
  decoder.qkv_bias = config.boolean_or("qkv_bias", decoder.o_bias);
  decoder.mlp_bias = config.boolean_or("mlp_bias", newer_internlm && bias);
  return decoder;
}

} // namespace tessera::models
