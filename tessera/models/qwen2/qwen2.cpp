#include "tessera/models/qwen2/qwen2.hpp"

#include "tessera/models/decoder_keys.hpp"

namespace tessera::models {

nn::DecoderConfig configure_qwen2(const checkpoint::ConfigReader& config) {
  nn::DecoderConfig decoder = read_decoder_keys(config, "qwen2", {.kv_heads = 32});
  decoder.qkv_bias = true;
  // Published files name a window that is switched off; where it is on, it holds from layer max_window_layers on.
  const bool windowed = config.boolean_or("use_sliding_window", false);
  const std::int64_t stated = config.integer_or("sliding_window", 4096, {.min = 1});
  const std::int64_t first = config.integer_or("max_window_layers", 28, {.min = 0});
  const std::int64_t window = windowed ? stated : 0;
  for (std::int64_t layer = first; layer < decoder.layers; ++layer)
    decoder.sliding_window[static_cast<std::size_t>(layer)] = window;
  decoder.sliding_window = read_layer_windows(config, window, decoder.sliding_window);
  return decoder;
}

} // namespace tessera::models
