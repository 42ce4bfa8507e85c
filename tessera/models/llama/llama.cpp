#include "tessera/models/llama/llama.hpp"

#include "tessera/models/decoder_keys.hpp"

namespace tessera::models {

nn::DecoderConfig configure_llama(const checkpoint::ConfigReader& config) {
  nn::DecoderConfig decoder = read_decoder_keys(config, "llama", {});
  decoder.qkv_bias = decoder.o_bias = config.boolean_or("attention_bias", false);
  decoder.mlp_bias = config.boolean_or("mlp_bias", false);
  return decoder;
}

} // namespace tessera::models
