#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "tessera/spec/compute_config.hpp"
#include "tessera/spec/data_type.hpp"

namespace tessera::nn {

/// How an op computes in each phase; without: as suits the weight's format.
struct ComputeByPhase {
  std::optional<ComputeConfig> prefill;
  std::optional<ComputeConfig> decode;
};

/// Formats of one decoder layer, by TT-NN's tensor groups, and how its ops compute, by its op groups.
struct LayerPrecision {
  DataType wqkv = DataType::BFLOAT16;
  DataType wo = DataType::BFLOAT16;
  DataType ff1_3 = DataType::BFLOAT16; ///< gate and up projections
  DataType ff2 = DataType::BFLOAT16;   ///< down projection
  DataType kv_cache = DataType::BFLOAT16;
  ComputeByPhase li_qkv;
  ComputeByPhase li_o;
  ComputeByPhase li_ff1_3;
  ComputeByPhase li_ff2;
  ComputeByPhase sdpa;
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
  /// Weights keep the checkpoint's own format (BF16 as BFLOAT16, F16 and F32 as FLOAT32) and the weight formats above
  /// are set aside: the preset "full".
  bool weights_as_stored = false;

  const LayerPrecision& of_layer(std::int64_t number) const;
};

/// What the presets accuracy and performance depend on, as in tt_transformers.
struct PrecisionSubject {
  std::string family;
  std::int64_t layers = 0;
  std::int64_t parameters = 0;
};

/// A preset by name (full, bf16, bfp8, bfp4, accuracy, performance) or a JSON file (a name that ends in .json):
/// `{"base": "bfp8", "lm_head": "bf16", "ff1_3": "bfp4", "li_ff1_3": "lofi", "layers": {"0": {"ff2": "bf16"}}}`. All
/// keys are optional; `base` is accuracy by default. What begins with li_ or sdpa_ is an op group of tt_transformers:
/// one of its names (named_compute_config) or an object of ComputeConfig's members. Throws InvalidArgument for unknown
/// presets, keys and formats, IoError for a file that cannot be read.
Precision make_precision(const std::string& preset_or_file, const PrecisionSubject& subject);

} // namespace tessera::nn
