#pragma once

#include "tessera/ops/op.hpp"

namespace tessera::ops {

/// Adds 1 in place to an INT32 tensor in ROW_MAJOR: the positions of users, from one decode step to the next. Negative
/// entries, idle users, stay as they are (TT-NN: skip_negative_entries).
void plus_one(const Tensor& input_tensor);

} // namespace tessera::ops
