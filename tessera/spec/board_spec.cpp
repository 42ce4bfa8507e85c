#include "tessera/spec/board_spec.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <vector>

#include "tessera/base/error.hpp"

namespace tessera {
namespace {

/// One Wormhole chip with an 8x8 grid for programs: one row of an n150 (Ethernet cores of an n300) dispatches.
/// The bank size is what the vendor's allocator reports as usable.
ArchSpec wormhole(std::int64_t rows, std::int64_t columns) {
  return {
      .name = "wormhole_b0",
      .worker_rows = rows,
      .worker_columns = columns,
      .l1_bytes_per_core = 1'499'136,
      .l1_reserved_bytes_per_core = 105'248,
      .l1_alignment_bytes = 16,
      .trace_bytes_per_op = 28'672,
      .dram_banks = 12,
      .dram_bytes_per_bank = 1'071'821'792,
      .dram_alignment_bytes = 32,
      .dram_bytes_per_s = 288e9,
      .clock_hz = 1.0e9,
  };
}

ArchSpec blackhole() {
  return {
      .name = "blackhole",
      .worker_rows = 10,
      .worker_columns = 13,
      .l1_bytes_per_core = 1'572'864,
      .l1_reserved_bytes_per_core = 105'248,
      .l1_alignment_bytes = 16,
      .trace_bytes_per_op = 28'672,
      .dram_banks = 8,
      .dram_bytes_per_bank = 4'278'190'080,
      .dram_alignment_bytes = 64,
      .dram_bytes_per_s = 512e9,
      .clock_hz = 1.35e9,
  };
}

constexpr double kWormholeLink = 12.5e9; // 100 Gb/s each way

const std::vector<BoardSpec>& table() {
  static const std::vector<BoardSpec> boards = {
      {.name = "n150", .product = "Wormhole n150", .arch = wormhole(8, 8)},
      {.name = "n300",
       .product = "Wormhole n300",
       .arch = wormhole(8, 8),
       .mesh_columns = 2,
       .links_per_neighbour = 1,
       .link_bytes_per_s = kWormholeLink,
       .hop_latency_ns = 711},
      {.name = "t3000",
       .product = "LoudBox or QuietBox: four n300",
       .arch = wormhole(8, 8),
       .mesh_rows = 2,
       .mesh_columns = 4,
       .links_per_neighbour = 1,
       .link_bytes_per_s = kWormholeLink,
       .hop_latency_ns = 711},
      {.name = "galaxy",
       .product = "Wormhole Galaxy",
       .arch = wormhole(8, 9),
       .mesh_rows = 8,
       .mesh_columns = 4,
       .links_per_neighbour = 4,
       .link_bytes_per_s = kWormholeLink,
       .hop_latency_ns = 874},
      {.name = "p150", .product = "Blackhole p150", .arch = blackhole()},
  };
  return boards;
}

} // namespace

std::span<const BoardSpec> boards() {
  return table();
}

const BoardSpec& board(std::string_view name) {
  static const std::map<std::string, std::string, std::less<>> aliases = {
      {"loudbox", "t3000"}, {"quietbox", "t3000"}, {"t3k", "t3000"}};
  std::string wanted(name);
  std::transform(wanted.begin(), wanted.end(), wanted.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (const auto alias = aliases.find(wanted); alias != aliases.end()) wanted = alias->second;
  std::vector<std::string> names;
  for (const BoardSpec& candidate : table()) {
    if (candidate.name == wanted) return candidate;
    names.push_back(candidate.name);
  }
  throw base::InvalidArgument(
      fmt::format("[board] one of {} is required; received \"{}\"", fmt::join(names, ", "), name));
}

} // namespace tessera
