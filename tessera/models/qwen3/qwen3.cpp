#include "tessera/models/qwen3/qwen3.hpp"

#include "tessera/models/decoder_keys.hpp"

namespace tessera::models {

nn::DecoderConfig configure_qwen3(const checkpoint::ConfigReader& config) {
  nn::DecoderConfig decoder = read_decoder_keys(
      config, "qwen3",
      {.vocab_size = 151936, .intermediate_size = 22016, .kv_heads = 32, .head_dim = 128, .max_positions = 32768});
  decoder.qk_norm = true;
  decoder.qkv_bias = decoder.o_bias = config.boolean_or("attention_bias", false);
  decoder.sliding_window = read_switched_windows(config, decoder.layers);
  return decoder;
}

} // namespace tessera::models
