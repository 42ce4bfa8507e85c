#pragma once

#include "tessera/ops/ccl/ccl_options.hpp"
#include "tessera/ops/op.hpp"

namespace tessera::ops {

/// The sum of the tensors of a group's chips, cut along `dim`: the chip at place p gets part p of it, [..., E, ...] ->
/// [..., E / N, ...] TILE in the input's format. Added in fp32 in ascending order of the chips' places and rounded
/// once, whatever the topology. `dim` counts from the outermost. A group of one chip gives the input itself. Throws
/// InvalidArgument as all_gather does, and unless the chips divide the dimension.
Tensor reduce_scatter(const Tensor& input_tensor, int dim, const CclOptions& options = {});

/// The sum on every chip of the group: as a reduce_scatter and an all_gather give it, which is how its traffic is
/// counted.
Tensor all_reduce(const Tensor& input_tensor, const CclOptions& options = {});

} // namespace tessera::ops
