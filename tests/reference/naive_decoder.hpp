#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "tests/reference/tiny_checkpoint.hpp"

namespace tessera::test {

/// What a test states about the model that it asks the naive decoder for; the rest is `tiny_config`'s.
struct NaiveOptions {
  /// The angle per position of the pair (i, i + D/2), from theta^(-2i/D).
  std::function<double(double)> stretch = [](double frequency) { return frequency; };
  std::vector<std::int64_t> windows{0, 0}; ///< per layer; 0: all earlier keys
};

/// Logits [S, V] of the tiny model, by plain loops in double precision, straight from the published formulas.
std::vector<float> naive_logits(const nlohmann::json& config, const TinyWeights& weights,
                                std::span<const std::int32_t> ids, const NaiveOptions& options = {});

} // namespace tessera::test
