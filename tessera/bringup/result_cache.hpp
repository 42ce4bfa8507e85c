#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "tessera/tensor/host_tensor.hpp"

namespace tessera::bringup {

/// Named tensors: one result.
using TensorMap = std::map<std::string, tensor::HostTensor>;

/// Results of the reference, kept as safetensors files, one for each, so that a second run does not compute them again.
/// A file counts only when it was written under the same identity and key, and is whole; any other is written anew.
class ResultCache {
 public:
  /// `identity` names all that the results depend on beside the key: checkpoint, number of layers, library version.
  /// With an empty `folder` nothing is kept. The folder is made when the first result is written.
  ResultCache(std::filesystem::path folder, std::string identity);

  /// The result for `key`, from its file or from `compute`. Throws what `compute` throws, and IoError when the file
  /// cannot be written.
  TensorMap get(const std::string& key, const std::function<TensorMap()>& compute) const;

 private:
  std::filesystem::path path_of(const std::string& key) const;

  std::filesystem::path folder_;
  std::string identity_;
};

} // namespace tessera::bringup
