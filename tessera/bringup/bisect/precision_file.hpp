#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tessera/nn/precision.hpp"

namespace tessera::bringup::bisect {

/// A tensor group of a precision file.
struct TensorGroup {
  std::string name;    ///< "wqkv"
  std::string compute; ///< the op group that reads it, or empty
  bool weights = true; ///< holds the checkpoint's tensors
  bool layers = true;  ///< may differ from layer to layer
};

const std::vector<TensorGroup>& tensor_groups();

/// The format of a group in a layer (any, for groups of the whole model).
DataType format_of(const nn::Precision& precision, const TensorGroup& group, std::int64_t layer);

/// "bfp8" for BFLOAT8_B: the short name of a precision file.
std::string short_name(DataType dtype);

/// A precision file with a group in another format, and with the fidelity that goes with it where `precision`, what
/// the file says, chooses one: in layers `first` to `last` of `layers`; for groups of the whole model in all.
nlohmann::json with_format(nlohmann::json file, const nn::Precision& precision, const TensorGroup& group,
                           DataType format, std::int64_t first, std::int64_t last, std::int64_t layers);

} // namespace tessera::bringup::bisect
