#include "tessera/models/phi3/phi3.hpp"

#include "tessera/models/decoder_keys.hpp"

namespace tessera::models {

nn::DecoderConfig configure_phi3(const checkpoint::ConfigReader& config) {
  nn::DecoderConfig decoder = read_decoder_keys(config, "phi3",
                                                {.vocab_size = 32064,
                                                 .hidden_size = 3072,
                                                 .intermediate_size = 8192,
                                                 .max_positions = 4096,
                                                 .norm_epsilon = 1e-5,
                                                 .partial_rotary = true});
  decoder.qkv = nn::QkvLayout::STACKED;
  decoder.fused_gate_up = true;
  const std::int64_t window = read_window(config, 0);
  decoder.sliding_window =
      read_layer_windows(config, window, std::vector<std::int64_t>(decoder.sliding_window.size(), window));
  for (const char* key : {"attention_bias", "embd_pdrop", "original_max_position_embeddings", "resid_pdrop"})
    config.has(key); // of no effect, or read with rope_scaling
  return decoder;
}

} // namespace tessera::models
