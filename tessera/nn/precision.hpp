#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "tessera/spec/data_type.hpp"

namespace tessera::nn {

/// Formats of one decoder layer, by TT-NN's tensor groups.
struct LayerPrecision {
  DataType wqkv = DataType::BFLOAT16;
  DataType wo = DataType::BFLOAT16;
  DataType ff1_3 = DataType::BFLOAT16; ///< gate and up projections
  DataType ff2 = DataType::BFLOAT16;   ///< down projection
  DataType kv_cache = DataType::BFLOAT16;
};

/// Formats of a whole model. Presets differ in these values alone: the same ops run in all of them.
struct Precision {
  std::string name;     ///< preset or file, for reports
  LayerPrecision layer; ///< of every layer that `layers` does not name
  std::map<std::int64_t, LayerPrecision> layers;
  DataType embedding = DataType::BFLOAT16;
  DataType norm = DataType::BFLOAT16; ///< weights of the norms, biases
  DataType lm_head = DataType::BFLOAT16;
  DataType activation = DataType::BFLOAT16; ///< residual stream, module inputs and outputs, cos and sin
  /// Weights keep the checkpoint's own format (F16 and F32 as FLOAT32): the preset "full". The weight formats above are
  /// then replaced when a checkpoint is opened.
  bool weights_as_stored = false;

  const LayerPrecision& of_layer(std::int64_t layer_number) const;
};

/// A preset by name (full, bf16, bfp8, bfp4, accuracy, performance) or a JSON file:
/// {"base": "bfp8", "lm_head": "bf16", "ff1_3": "bfp4", "layers": {"0": {"ff2": "bf16"}}}; all keys are optional.
/// `family` and `layers` steer accuracy and performance as tt_transformers does (docs/precision.md).
/// Throws InvalidArgument listing the presets, IoError for an unreadable file.
Precision make_precision(std::string_view preset_or_file, std::string_view family, std::int64_t layers);

} // namespace tessera::nn
