#pragma once

#include <vector>

#include "tessera/ops/ccl/ccl_options.hpp"
#include "tessera/ops/op.hpp"

namespace tessera::ops {

/// Puts the tensors of a group's chips together along `dim`, in the order of their places, on every chip of the group:
/// [..., E, ...] -> [..., N * E, ...]. Tiles stay bit for bit where E keeps them whole; where their neighbours change,
/// a block format rounds once more. TILE in any floating-point format, ROW_MAJOR in any format. `dim` counts from the
/// outermost. A group of one chip gives the input itself. Throws InvalidArgument for a dimension that the tensor lacks,
/// an axis that the mesh lacks, links that the board lacks.
Tensor all_gather(const Tensor& input_tensor, int dim, const CclOptions& options = {});

/// Every chip of a group gets every other's tensor: result number i is that of the chip at place i. Formats and errors
/// as for all_gather.
std::vector<Tensor> all_broadcast(const Tensor& input_tensor, const CclOptions& options = {});

} // namespace tessera::ops
