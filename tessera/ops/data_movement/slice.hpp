#pragma once

#include "tessera/ops/op.hpp"

namespace tessera::ops {

/// Rows first .. last of every matrix: input_tensor [..., R, E] TILE -> [..., last - first, E] in the same format and
/// place. Throws InvalidArgument unless 0 <= first < last <= R.
Tensor slice_rows(const Tensor& input_tensor, std::int64_t first, std::int64_t last);

} // namespace tessera::ops
