#include "tessera/bringup/bisect/precision_file.hpp"

#include <algorithm>
#include <map>

#include "tessera/base/error.hpp"

namespace tessera::bringup::bisect {
namespace {

using nn::ComputeByPhase;
using nn::LayerPrecision;

/// tt_transformers' choice for weights of a format; wider ones get all that the matrix unit has.
std::string fidelity_for(const TensorGroup& group, DataType format) {
  if (format == DataType::FLOAT32) return "hifi4fp32";
  if (format == DataType::BFLOAT16) return "hifi4";
  if (format == DataType::BFLOAT8_B)
    return group.compute == "li_ff1_3" || group.compute == "li_ff2" ? "hifi2fp16" : "hifi2";
  return "lofi";
}

bool chooses_fidelity(const LayerPrecision& layer, const TensorGroup& group) {
  static const std::map<std::string, ComputeByPhase LayerPrecision::*> fields = {
      {"li_qkv", &LayerPrecision::li_qkv},
      {"li_o", &LayerPrecision::li_o},
      {"li_ff1_3", &LayerPrecision::li_ff1_3},
      {"li_ff2", &LayerPrecision::li_ff2}};
  const auto field = fields.find(group.compute);
  return field != fields.end() && ((layer.*field->second).prefill || (layer.*field->second).decode);
}

/// Sets the group's keys in the file itself, or in one layer's object.
void set_keys(nlohmann::json& object, const TensorGroup& group, DataType format, bool fidelity) {
  object[group.name] = short_name(format);
  if (!fidelity) return;
  object.erase(group.compute + "_prefill");
  object.erase(group.compute + "_decode");
  object[group.compute] = fidelity_for(group, format);
}

} // namespace

const std::vector<TensorGroup>& tensor_groups() {
  static const std::vector<TensorGroup> groups = {{"wqkv", "li_qkv"},
                                                  {"wo", "li_o"},
                                                  {"ff1_3", "li_ff1_3"},
                                                  {"ff2", "li_ff2"},
                                                  {"kv_cache", "", false},
                                                  {"lm_head", "", true, false},
                                                  {"embedding", "", true, false},
                                                  {"norm", "", true, false},
                                                  {"activation", "", false, false}};
  return groups;
}

DataType format_of(const nn::Precision& precision, const TensorGroup& group, std::int64_t layer) {
  const LayerPrecision& formats = precision.of_layer(layer);
  const std::map<std::string, DataType> all = {{"wqkv", formats.wqkv},
                                               {"wo", formats.wo},
                                               {"ff1_3", formats.ff1_3},
                                               {"ff2", formats.ff2},
                                               {"kv_cache", formats.kv_cache},
                                               {"lm_head", precision.lm_head},
                                               {"embedding", precision.embedding},
                                               {"norm", precision.norm},
                                               {"activation", precision.activation}};
  const auto found = all.find(group.name);
  base::require(found != all.end(), "[bisect] a tensor group of a precision file is required; received {}", group.name);
  return found->second;
}

std::string short_name(DataType dtype) {
  switch (dtype) {
    case DataType::BFLOAT16:
      return "bf16";
    case DataType::BFLOAT8_B:
      return "bfp8";
    case DataType::BFLOAT4_B:
      return "bfp4";
    case DataType::BFLOAT2_B:
      return "bfp2";
    default:
      return "f32";
  }
}

nlohmann::json with_format(nlohmann::json file, const nn::Precision& precision, const TensorGroup& group,
                           DataType format, std::int64_t first, std::int64_t last, std::int64_t layers) {
  base::require(!group.layers || (0 <= first && first <= last && last < layers),
                "[bisect] layers must be in 0..{}; received {} to {}", layers - 1, first, last);
  const bool all = !group.layers || (first == 0 && last == layers - 1);
  if (all) {
    set_keys(file, group, format, chooses_fidelity(precision.layer, group));
    if (!group.layers || !file.contains("layers")) return file;
    for (auto& [number, layer] : file["layers"].items()) {
      layer.erase(group.name);
      for (const char* phase : {"", "_prefill", "_decode"}) {
        if (!group.compute.empty()) layer.erase(group.compute + phase);
      }
    }
    return file;
  }
  for (std::int64_t layer = first; layer <= last; ++layer) {
    set_keys(file["layers"][std::to_string(layer)], group, format, chooses_fidelity(precision.of_layer(layer), group));
  }
  return file;
}

} // namespace tessera::bringup::bisect
