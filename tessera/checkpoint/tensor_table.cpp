#include "tessera/checkpoint/tensor_table.hpp"

#include <utility>

#include "tessera/base/error.hpp"
#include "tessera/checkpoint/json_text.hpp"
#include "tessera/checkpoint/nearest_names.hpp"

namespace tessera::checkpoint {

TensorTable::TensorTable(std::vector<TensorView> tensors, std::string where)
    : tensors_(std::move(tensors)), where_(std::move(where)) {
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    base::require<base::IoError>(index_.emplace(tensors_[i].name, i).second,
                                 "[checkpoint] tensor names must be unique; {} has {} twice; remove one", where_,
                                 printable(tensors_[i].name));
  }
}

std::vector<std::string> TensorTable::names() const {
  std::vector<std::string> names;
  names.reserve(tensors_.size());
  for (const TensorView& tensor : tensors_) names.push_back(tensor.name);
  return names;
}

const TensorView& TensorTable::at(const std::string& name) const {
  const auto found = index_.find(name);
  if (found != index_.end()) return tensors_[found->second];
  std::string nearest;
  for (const std::string& candidate : nearest_names(name, names())) {
    nearest += (nearest.empty() ? "" : ", ") + printable(candidate);
  }
  throw base::IoError(fmt::format("[checkpoint] tensor {} is required; {} lacks it; {}", printable(name),
                                  where_.empty() ? "a checkpoint without weights" : where_,
                                  nearest.empty() ? "it holds no tensors" : "the nearest are " + nearest));
}

std::uint64_t TensorTable::bytes() const {
  std::uint64_t total = 0;
  for (const TensorView& tensor : tensors_) total += tensor.data.size();
  return total;
}

} // namespace tessera::checkpoint
