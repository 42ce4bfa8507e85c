#include "tessera/spec/shape.hpp"

#include <fmt/ranges.h>

#include <algorithm>

#include "tessera/base/error.hpp"

namespace tessera {

Shape::Shape(std::span<const std::int64_t> extents) : rank_(extents.size()) {
  base::require(rank_ <= kMaxRank, "[shape] at most {} dimensions are possible; received {}", kMaxRank, rank_);
  for (std::int64_t extent : extents) {
    base::require(extent >= 0, "[shape] extents must be 0 or more; received [{}]", fmt::join(extents, ", "));
  }
  std::copy(extents.begin(), extents.end(), extents_.begin());
}

Shape Shape::with(int dim, std::int64_t extent) const {
  Shape changed = *this;
  changed.extents_[index(dim)] = extent;
  return changed;
}

std::int64_t Shape::volume() const {
  std::int64_t product = 1;
  for (std::int64_t extent : extents()) product *= extent;
  return product;
}

std::string to_string(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape.extents(), ", "));
}

} // namespace tessera
