#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "tessera/checkpoint/tensor_view.hpp"

namespace tessera::checkpoint {

/// Tensors in order, found by name. Copies share the mapped files.
class TensorTable {
 public:
  /// An empty table, for a checkpoint without weights.
  TensorTable() = default;
  /// `where` names the file or folder in error texts. Throws IoError when two tensors have one name.
  TensorTable(std::vector<TensorView> tensors, std::string where);

  const std::vector<TensorView>& tensors() const { return tensors_; }
  std::vector<std::string> names() const;
  bool contains(const std::string& name) const { return index_.contains(name); }
  /// Throws IoError that names the nearest names when there is no such tensor.
  const TensorView& at(const std::string& name) const;
  /// Bytes of all tensors together.
  std::uint64_t bytes() const;

 private:
  std::vector<TensorView> tensors_;
  std::unordered_map<std::string, std::size_t> index_;
  std::string where_;
};

} // namespace tessera::checkpoint
