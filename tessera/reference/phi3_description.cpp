#include <nlohmann/json.hpp>

#include "tessera/reference/family_description.hpp"

namespace tessera::reference {

void describe_phi3(const checkpoint::ConfigReader& config, const nlohmann::json& json, DecoderDescription& model) {
  describe_llama_lineage(config, json,
                         {.vocabulary = 32064,
                          .hidden = 3072,
                          .mlp_hidden = 8192,
                          .max_positions = 4096,
                          .norm_eps = 1e-5,
                          .partial_rotary = true},
                         model);
  model.activation = named_activation(config, "hidden_act", "silu");
  model.projections = Projections::STACKED;
  model.fused_gate = true;
  const std::int64_t window = read_window(config, json, 0);
  set_windows(config, window, std::vector<std::int64_t>(static_cast<std::size_t>(model.layers), window), model);
}

} // namespace tessera::reference
