#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tessera/nn/precision.hpp"

namespace tessera::bringup {

/// A precision as TT-NN's tt_transformers reads it: {"decoders": {"0": {"precision_cfg": {"FF1_FF3": "BFP8", ...},
/// "fidelity_cfg": {"LI_FF1_FF3": "HIFI2_FP16", ...}}, ...}}, by the names of its enums TensorGroup, PrecisionSetting,
/// OpGroup and MathFidelitySetting. Every layer and group is written, so that no default of theirs fills in.
struct DecoderSettings {
  nlohmann::json json;
  std::vector<std::string> left_out; ///< what those names cannot say, a sentence each
};

/// Throws Unsupported for weights or a KV cache in a format that PrecisionSetting lacks (FLOAT32, BFLOAT2_B) and for
/// weights as stored.
DecoderSettings decoder_settings(const nn::Precision& precision, std::int64_t layers);

} // namespace tessera::bringup
