#pragma once

// Private to the reading of config.json: what families with keys of their own share.

#include "tessera/checkpoint/config_reader.hpp"
#include "tessera/reference/decoder_description.hpp"

namespace tessera::reference {

/// Most heads of a model.
inline constexpr std::int64_t kMostHeads = 1 << 16;

/// Most elements of a dimension.
inline constexpr std::int64_t kMostElements = 1 << 24;

/// What absent keys of the Llama lineage stand for.
struct Defaults {
  std::int64_t vocabulary = 32000;
  std::int64_t hidden = 4096;
  std::int64_t mlp_hidden = 11008;
  std::int64_t layers = 32;
  std::int64_t query_heads = 32;
  std::int64_t kv_heads = 0; // 0: as many as query heads
  std::int64_t head_dim = 0; // 0: E / Hq
  std::int64_t max_positions = 2048;
  double norm_eps = 1e-6;
  double rope_theta = 10000.0;
  bool partial_rotary = false; // whether a part of each head may stay as it is
  bool tied = false;
};

/// Rejects `kv_key` unless the KV heads divide the query heads.
void require_head_groups(const checkpoint::ConfigReader& config, const std::string& kv_key,
                         const DecoderDescription& model);
/// rope_theta, partial_rotary_factor and rope_scaling; after the heads and max_positions.
void read_rotary(const checkpoint::ConfigReader& config, double default_theta, DecoderDescription& model);
/// An activation by its name in transformers.
Activation named_activation(const checkpoint::ConfigReader& config, const std::string& key,
                            const std::string& fallback);
/// Everything that the Llama lineage's configurations share, the activation and the windows left out.
void describe_llama_lineage(const checkpoint::ConfigReader& config, const nlohmann::json& json,
                            const Defaults& defaults, DecoderDescription& model);
/// sliding_window: null is none, absent the fallback (0: none).
std::int64_t read_window(const checkpoint::ConfigReader& config, const nlohmann::json& json, std::int64_t fallback);
/// model.windows by layer_types where the file has them, else those given.
void set_windows(const checkpoint::ConfigReader& config, std::int64_t window, std::vector<std::int64_t> otherwise,
                 DecoderDescription& model);

/// Families, each by transformers' configuration class and modelling code.
void describe_falcon(const checkpoint::ConfigReader& config, const nlohmann::json& json, DecoderDescription& model);
void describe_gemma(const checkpoint::ConfigReader& config, const nlohmann::json& json, DecoderDescription& model);
void describe_gemma2(const checkpoint::ConfigReader& config, const nlohmann::json& json, DecoderDescription& model);
void describe_gpt2(const checkpoint::ConfigReader& config, const nlohmann::json& json, DecoderDescription& model);
void describe_mixtral(const checkpoint::ConfigReader& config, const nlohmann::json& json, DecoderDescription& model);
void describe_phi3(const checkpoint::ConfigReader& config, const nlohmann::json& json, DecoderDescription& model);

} // namespace tessera::reference
