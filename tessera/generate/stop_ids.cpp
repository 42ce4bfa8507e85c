#include "tessera/generate/stop_ids.hpp"

#include "tessera/checkpoint/config_reader.hpp"

namespace tessera::generate {

std::vector<std::int32_t> stop_ids(const checkpoint::Checkpoint& checkpoint) {
  const checkpoint::ConfigReader generation(checkpoint.generation_config(), "generation_config.json");
  const checkpoint::ConfigReader config(checkpoint.config(), checkpoint.config_path().string());
  const auto& reader = generation.has("eos_token_id") ? generation : config;
  const std::vector<std::int64_t> ids = reader.integers("eos_token_id", {.min = 0});
  return {ids.begin(), ids.end()};
}

} // namespace tessera::generate
