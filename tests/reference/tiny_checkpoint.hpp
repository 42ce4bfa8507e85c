#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/base/temporary_folder.hpp"

namespace tessera::test {

/// The weights of a tiny checkpoint, by their published names.
struct TinyWeight {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};
using TinyWeights = std::map<std::string, TinyWeight>;

/// A config.json of two small layers, grouped-query attention, untied; `changes` replace or add keys.
nlohmann::json tiny_config(const nlohmann::json& changes = nlohmann::json::object());

/// The same for Falcon: heads of 8 in a width of 32; by default the 7B's architecture.
nlohmann::json tiny_falcon_config(const nlohmann::json& changes = nlohmann::json::object());

/// Random fp32 weights as `config` asks for them, biases where it has them. The same config gives the same weights.
TinyWeights tiny_weights(const nlohmann::json& config);

/// Writes config.json and model.safetensors (F32) into `folder`.
void write_tiny_checkpoint(const TemporaryFolder& folder, const nlohmann::json& config, const TinyWeights& weights);

} // namespace tessera::test
