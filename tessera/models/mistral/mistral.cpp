#include "tessera/models/mistral/mistral.hpp"

#include "tessera/models/decoder_keys.hpp"

namespace tessera::models {

nn::DecoderConfig configure_mistral(const checkpoint::ConfigReader& config) {
  nn::DecoderConfig decoder = read_decoder_keys(config, "mistral", {.kv_heads = 8});
  const std::int64_t window = config.integer_or("sliding_window", 0, {.min = 1}); // null: full attention
  decoder.sliding_window =
      read_layer_windows(config, window, std::vector<std::int64_t>(decoder.sliding_window.size(), window));
  return decoder;
}

} // namespace tessera::models
