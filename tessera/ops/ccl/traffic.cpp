#include "tessera/ops/ccl/traffic.hpp"

#include "tessera/spec/shape.hpp"

namespace tessera::ops {
namespace {

bool is_ring(Topology topology, std::int64_t chips) {
  return topology == Topology::Ring && chips > 2;
}

} // namespace

Traffic pass_to_all(Topology topology, std::int64_t chips, std::int64_t part_bytes) {
  const std::int64_t bytes = (chips - 1) * part_bytes;
  return is_ring(topology, chips) ? Traffic{div_up(bytes, 2), chips / 2} : Traffic{bytes, chips - 1};
}

Traffic exchange(Topology topology, std::int64_t chips, std::int64_t part_bytes) {
  // floor(N^2 / 4) is floor(N / 2) ceil(N / 2).
  const std::int64_t bytes = chips * chips / 4 * part_bytes;
  return is_ring(topology, chips) ? Traffic{div_up(bytes, 2), chips / 2} : Traffic{bytes, chips - 1};
}

} // namespace tessera::ops
