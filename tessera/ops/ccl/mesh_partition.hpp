#pragma once

#include "tessera/ops/ccl/ccl_options.hpp"
#include "tessera/ops/op.hpp"

namespace tessera::ops {

/// Each chip keeps the part of its tensor that belongs to its place in the group: [..., E, ...] -> [..., E / N, ...].
/// For a tensor that all chips hold, the inverse of all_gather. Nothing is sent. Formats and errors as for all_gather;
/// throws InvalidArgument too unless the chips divide the dimension.
Tensor mesh_partition(const Tensor& input_tensor, int dim, const CclOptions& options = {});

} // namespace tessera::ops
