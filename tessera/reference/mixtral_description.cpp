#include <nlohmann/json.hpp>

#include "tessera/reference/family_description.hpp"

namespace tessera::reference {

void describe_mixtral(const checkpoint::ConfigReader& config, const nlohmann::json& json, DecoderDescription& model) {
  describe_llama_lineage(
      config, json, {.mlp_hidden = 14336, .kv_heads = 8, .max_positions = 131072, .norm_eps = 1e-5, .rope_theta = 1e6},
      model);
  model.activation = named_activation(config, "hidden_act", "silu");
  model.experts =
      config.integer_or("num_local_experts", config.integer_or("num_experts", 8, {1, 1 << 12}), {1, 1 << 12});
  model.experts_per_token = config.integer_or("num_experts_per_tok", 2, {1});
  if (model.experts_per_token > model.experts) config.reject("num_experts_per_tok", "at most num_local_experts");
  const std::int64_t window = read_window(config, json, 0);
  set_windows(config, window, std::vector<std::int64_t>(static_cast<std::size_t>(model.layers), window), model);
}

} // namespace tessera::reference
