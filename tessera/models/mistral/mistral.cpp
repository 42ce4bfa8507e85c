#include "tessera/models/mistral/mistral.hpp"

#include "tessera/models/decoder_keys.hpp"

namespace tessera::models {

nn::DecoderConfig configure_mistral(const checkpoint::ConfigReader& config) {
  nn::DecoderConfig decoder =
      read_decoder_keys(config, "mistral", {.intermediate_size = 14336, .kv_heads = 8, .max_positions = 131072});
  const std::int64_t window = read_window(config, 4096);
  decoder.sliding_window =
      read_layer_windows(config, window, std::vector<std::int64_t>(decoder.sliding_window.size(), window));
  return decoder;
}

} // namespace tessera::models
