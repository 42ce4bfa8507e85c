#pragma once

#include "tessera/ops/ccl/ccl_options.hpp"
#include "tessera/ops/op.hpp"

namespace tessera::ops {

/// Moves a group's shards from one dimension to another: each chip cuts its tensor along `split_dim` into a part for
/// each chip and puts what it gets together along `concat_dim`, in the order of places: [S, C] -> [S / N, N * C] in
/// these dimensions. What was sharded along concat_dim is whole there, and sharded along split_dim. Formats and errors
/// as for all_gather; throws InvalidArgument too unless the chips divide split_dim.
Tensor all_to_all(const Tensor& input_tensor, int split_dim, int concat_dim, const CclOptions& options = {});

} // namespace tessera::ops
