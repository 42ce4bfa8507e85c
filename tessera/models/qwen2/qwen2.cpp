#include "tessera/models/qwen2/qwen2.hpp"

#include "tessera/models/decoder_keys.hpp"

namespace tessera::models {

nn::DecoderConfig configure_qwen2(const checkpoint::ConfigReader& config) {
  nn::DecoderConfig decoder = read_decoder_keys(
      config, "qwen2", {.vocab_size = 151936, .intermediate_size = 22016, .kv_heads = 32, .max_positions = 32768});
  decoder.qkv_bias = true;
  decoder.sliding_window = read_switched_windows(config, decoder.layers);
  return decoder;
}

} // namespace tessera::models
