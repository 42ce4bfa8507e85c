#pragma once

#include "tessera/checkpoint/config_reader.hpp"
#include "tessera/nn/decoder_config.hpp"

namespace tessera::models {

/// What the keys that config.json files of the Llama lineage share default to, family by family; LlamaConfig's.
struct DecoderDefaults {
  std::int64_t vocab_size = 32000;
  std::int64_t hidden_size = 4096;
  std::int64_t intermediate_size = 11008;
  std::int64_t layers = 32;
  std::int64_t heads = 32;
  std::int64_t kv_heads = 0; ///< 0: as many as query heads; so is null in any family
  std::int64_t head_dim = 0; ///< 0: the hidden width shared out over the query heads
  std::int64_t max_positions = 2048;
  double norm_epsilon = 1e-6;
  double rope_theta = 10000.0;
  bool partial_rotary = false; ///< whether the family lets a part of each head stay unturned
  bool tied = false;
  const char* activation_key = "hidden_act"; ///< the key that names the activation
  const char* activation = "silu";
};

/// Reads the shared keys: sizes, heads, norm, rotary embedding, tying. Biases and windows are the family's own. Throws
/// InvalidArgument for impossible values, Unsupported for activations and rotary scalings that are not built.
nn::DecoderConfig read_decoder_keys(const checkpoint::ConfigReader& config, std::string_view family,
                                    const DecoderDefaults& defaults);

inline constexpr std::int64_t kLargestExtent = std::int64_t{1} << 24;
inline constexpr std::int64_t kMostLayers = 1024;
inline constexpr std::int64_t kMostHeads = 65536;
inline constexpr std::int64_t kMostPositions = std::int64_t{1} << 30;

/// rope_theta, partial_rotary_factor and rope_scaling. Throws Unsupported for scalings that are not built.
nn::RopeConfig read_rope(const checkpoint::ConfigReader& config, std::int64_t head_dim, std::int64_t max_positions,
                         double default_theta = 10000.0);
/// An activation by transformers' name for it. Throws Unsupported for those that are not built.
ops::Activation read_activation(const checkpoint::ConfigReader& config, const char* key, const std::string& fallback);
/// The same for an MLP without a gate, which has GELU in one of its forms.
ops::Activation read_plain_activation(const checkpoint::ConfigReader& config, const char* key,
                                      const std::string& fallback);
/// The value of a key that goes by another name too. Throws InvalidArgument when both are there and differ.
std::int64_t read_renamed(const checkpoint::ConfigReader& config, const char* key, const char* other,
                          std::int64_t fallback, checkpoint::IntegerRange range);
/// torch_dtype.
DataType read_stored_dtype(const checkpoint::ConfigReader& config);

/// sliding_window: 0, none, where it is null; `fallback` where the key is absent.
std::int64_t read_window(const checkpoint::ConfigReader& config, std::int64_t fallback);

/// Qwen's windows, which published files name and switch off: with use_sliding_window they hold from layer
/// max_window_layers on.
std::vector<std::int64_t> read_switched_windows(const checkpoint::ConfigReader& config, std::int64_t layers);

/// Windows by `layer_types` where the configuration has them (transformers 5), else `fallback` for each layer.
/// Throws InvalidArgument when the list has another length or a sliding layer has no window.
std::vector<std::int64_t> read_layer_windows(const checkpoint::ConfigReader& config, std::int64_t window,
                                             std::vector<std::int64_t> fallback);

} // namespace tessera::models
