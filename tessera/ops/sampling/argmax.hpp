#pragma once

#include "tessera/ops/op.hpp"

namespace tessera::ops {

/// Index of the largest element of each row: x [..., R, V] TILE -> INT32 [..., R] in ROW_MAJOR, which is what
/// `embedding` reads. The lowest index of equals; NaN ranks last, and a row of nothing else gives 0.
Tensor argmax(const Tensor& input_tensor, const MemoryConfig& memory_config = kDramInterleaved);

} // namespace tessera::ops
