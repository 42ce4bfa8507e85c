#pragma once

#include "tessera/ops/ccl/ccl_options.hpp"
#include "tessera/ops/op.hpp"

namespace tessera::ops {

/// A chip of a mesh.
struct MeshCoordinate {
  std::int64_t row = 0;
  std::int64_t column = 0;

  friend bool operator==(const MeshCoordinate&, const MeshCoordinate&) = default;
};

struct PointToPointOptions {
  Topology topology = Topology::Linear;      ///< Ring: the ends of each mesh axis are neighbours too
  std::optional<std::int64_t> num_links;     ///< default: all that the board has for collectives
  std::optional<MemoryConfig> memory_config; ///< default: the input's
};

/// The receiver gets the sender's tensor; every other chip keeps its own. Formats as for all_gather. Throws
/// InvalidArgument for coordinates that the mesh lacks.
Tensor point_to_point(const Tensor& input_tensor, MeshCoordinate sender, MeshCoordinate receiver,
                      const PointToPointOptions& options = {});

} // namespace tessera::ops
