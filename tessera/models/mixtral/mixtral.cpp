#include "tessera/models/mixtral/mixtral.hpp"

#include "tessera/models/decoder_keys.hpp"

namespace tessera::models {

nn::DecoderConfig configure_mixtral(const checkpoint::ConfigReader& config) {
  nn::DecoderConfig decoder = read_decoder_keys(
      config, "mixtral",
      {.intermediate_size = 14336, .kv_heads = 8, .max_positions = 131072, .norm_epsilon = 1e-5, .rope_theta = 1e6});
  decoder.experts.count = read_renamed(config, "num_local_experts", "num_experts", 8, {.min = 1, .max = 4096});
  decoder.experts.per_token = config.integer_or("num_experts_per_tok", 2, {.min = 1, .max = 4096});
  if (decoder.experts.per_token > decoder.experts.count)
    config.reject("num_experts_per_tok", fmt::format("at most num_local_experts ({})", decoder.experts.count));
  const std::int64_t window = read_window(config, 0);
  decoder.sliding_window =
      read_layer_windows(config, window, std::vector<std::int64_t>(decoder.sliding_window.size(), window));
  for (const char* key : {"output_router_logits", "router_aux_loss_coef", "router_jitter_noise"})
    config.has(key); // of no effect
  return decoder;
}

} // namespace tessera::models
