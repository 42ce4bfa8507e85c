#pragma once

#include <cstdint>
#include <optional>

#include "tessera/spec/tensor_spec.hpp"

namespace tessera::ops {

/// How the chips of a collective pass data on: along a line, or round a ring in both directions at once. It changes
/// the bytes on the links and the hops, never a result.
enum class Topology { Linear, Ring };

struct CclOptions {
  /// The mesh axis along which chips take part together: 0: those of one mesh column, 1: those of one mesh row. None:
  /// all chips, placed in row-major order.
  std::optional<int> cluster_axis;
  Topology topology = Topology::Linear;
  /// Ethernet links between neighbours that share the work; default: all that the board has for collectives.
  std::optional<std::int64_t> num_links;
  std::optional<MemoryConfig> memory_config; ///< of the output; default: the input's
};

} // namespace tessera::ops
