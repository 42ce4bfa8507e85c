#pragma once

#include <cstdint>

#include "tessera/ops/ccl/ccl_options.hpp"

namespace tessera::ops {

/// What a collective sends: bytes over the busiest connection of two neighbours in one direction, which may be several
/// links, and the hops of the longest way. `chips` is the number N that take part; a ring of two is a line.
struct Traffic {
  std::int64_t bytes = 0;
  std::int64_t hops = 0;
};

/// Each chip's part goes to all others (all_gather, all_broadcast); or, the same ways backwards, each chip's part of a
/// sum is collected from all others (reduce_scatter). A line's last connection carries all parts but one: N - 1. Round
/// a ring a part goes half the way on either side: (N - 1) / 2 a direction.
///
/// Source: the vendor's tech_reports/LLMs/llms.md gives for all chips together (K N DF / D) (D - 1) D on a line
/// (all_gather), and K N DF (1 - 1 / D) a chip (reduce_scatter). The measured fits of tech_reports/CCLs (Wormhole,
/// bfloat16, 6144) have the same (N - 1) parts on a line, at 11.8 GB/s, and on a ring at 20.8 GB/s: two directions. Its
/// hops are N - 1 and N / 2.
Traffic pass_to_all(Topology topology, std::int64_t chips, std::int64_t part_bytes);

/// Each chip has a part for each other (all_to_all). A line's middle connection carries floor(N / 2) ceil(N / 2) parts
/// (tech_reports/CCLs). On a ring each chip's parts go 1, 1, 2, 2, ... N / 2 hops, together floor(N^2 / 4), over two
/// directions.
Traffic exchange(Topology topology, std::int64_t chips, std::int64_t part_bytes);

} // namespace tessera::ops
