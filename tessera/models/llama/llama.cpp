#include "tessera/models/llama/llama.hpp"

#include "tessera/models/decoder_keys.hpp"

namespace tessera::models {

nn::DecoderConfig configure_llama(const checkpoint::ConfigReader& config) {
  nn::DecoderConfig decoder = read_decoder_keys(config, "llama", {});
  decoder.qkv_bias = decoder.o_bias = config.boolean_or("attention_bias", false);
  decoder.mlp_bias = config.boolean_or("mlp_bias", false);
  return decoder;
}

nn::DecoderConfig configure_internlm(const checkpoint::ConfigReader& config) {
  nn::DecoderConfig decoder = read_decoder_keys(config, "llama", {.vocab_size = 103168});
  decoder.qkv_bias = decoder.o_bias = config.boolean_or("bias", true);
  return decoder;
}

nn::DecoderConfig configure_internlm3(const checkpoint::ConfigReader& config) {
  nn::DecoderConfig decoder = read_decoder_keys(config, "llama", {.vocab_size = 128512, .max_positions = 32768});
  decoder.qkv_bias = config.boolean_or("qkv_bias", false);
  decoder.o_bias = decoder.mlp_bias = config.boolean_or("bias", false);
  return decoder;
}

} // namespace tessera::models
