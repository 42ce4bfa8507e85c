#pragma once

#include "tessera/checkpoint/config_reader.hpp"
#include "tessera/nn/decoder_config.hpp"

namespace tessera::models {

/// What the keys that config.json files of the Llama lineage share default to, family by family.
struct DecoderDefaults {
  std::int64_t kv_heads = 0; ///< 0: as many as query heads
};

/// Reads the shared keys: sizes, heads, norm, rotary embedding, tying. Biases and windows are the family's own. Throws
/// InvalidArgument for impossible values, Unsupported for activations and rotary scalings that are not built.
nn::DecoderConfig read_decoder_keys(const checkpoint::ConfigReader& config, std::string_view family,
                                    const DecoderDefaults& defaults);

inline constexpr std::int64_t kLargestExtent = std::int64_t{1} << 24;
inline constexpr std::int64_t kMostLayers = 1024;
inline constexpr std::int64_t kMostHeads = 65536;
inline constexpr std::int64_t kMostPositions = std::int64_t{1} << 30;

/// rope_theta and rope_scaling. Throws Unsupported for scalings that are not built.
nn::RopeConfig read_rope(const checkpoint::ConfigReader& config);
/// torch_dtype.
DataType read_stored_dtype(const checkpoint::ConfigReader& config);

/// Windows by `layer_types` where the configuration has them (transformers 5), else `fallback` for each layer.
/// Throws InvalidArgument when the list has another length or a sliding layer has no window.
std::vector<std::int64_t> read_layer_windows(const checkpoint::ConfigReader& config, std::int64_t window,
                                             std::vector<std::int64_t> fallback);

} // namespace tessera::models
