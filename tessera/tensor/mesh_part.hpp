#pragma once

#include <algorithm>
#include <cstdint>

#include "tessera/spec/shape.hpp"

namespace tessera::tensor {

/// The part of a tensor that one chip holds: elements first .. first + shape of the whole in each dimension. What
/// reaches beyond the whole is padding, and zeros.
struct MeshPart {
  Shape whole;
  Shape first;
  Shape shape;

  /// The whole tensor.
  static MeshPart all_of(const Shape& shape);

  /// Row number `row` of the part (all but the last dimension folded) as a row of the whole; -1 for padding.
  std::int64_t row_in_whole(std::int64_t row) const;
  /// Elements of dimension `dim` that are not padding.
  std::int64_t inside(int dim) const { return std::clamp<std::int64_t>(whole[dim] - first[dim], 0, shape[dim]); }

  friend bool operator==(const MeshPart&, const MeshPart&) = default;
};

} // namespace tessera::tensor
