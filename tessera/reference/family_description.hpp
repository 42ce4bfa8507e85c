#pragma once

// Private to the reading of config.json: what families with keys of their own share.

#include "tessera/checkpoint/config_reader.hpp"
#include "tessera/reference/decoder_description.hpp"

namespace tessera::reference {

/// Most heads of a model.
inline constexpr std::int64_t kMostHeads = 1 << 16;

/// Rejects `kv_key` unless the KV heads divide the query heads.
void require_head_groups(const checkpoint::ConfigReader& config, const std::string& kv_key,
                         const DecoderDescription& model);
/// rope_theta and rope_scaling.
void read_rotary(const checkpoint::ConfigReader& config, DecoderDescription& model);

/// Falcon: the facts of transformers' FalconConfig.
void describe_falcon(const checkpoint::ConfigReader& config, const nlohmann::json& json, DecoderDescription& model);

} // namespace tessera::reference
