#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tessera {

/// What one chip is. Bytes are per bank or per core; rates are the data sheets' peaks.
struct ArchSpec {
  std::string name;             ///< "wormhole_b0", "blackhole"
  std::int64_t worker_rows = 8; ///< worker cores that programs may use
  std::int64_t worker_columns = 8;
  std::int64_t l1_bytes_per_core = 0;
  std::int64_t l1_reserved_bytes_per_core = 0; ///< base of L1: firmware, mailboxes, kernel configuration
  std::int64_t l1_alignment_bytes = 16;
  std::int64_t trace_bytes_per_op = 0; ///< DRAM of a captured trace for each op, on each chip
  std::int64_t dram_banks = 0;
  std::int64_t dram_bytes_per_bank = 0;
  std::int64_t dram_alignment_bytes = 32;
  double dram_bytes_per_s = 0; ///< peak of all banks together
  double clock_hz = 0;

  std::int64_t worker_cores() const { return worker_rows * worker_columns; }
  std::int64_t l1_bytes() const { return worker_cores() * (l1_bytes_per_core - l1_reserved_bytes_per_core); }
  std::int64_t dram_bytes() const { return dram_banks * dram_bytes_per_bank; }
};

/// Chips of one product and how they are wired.
struct BoardSpec {
  std::string name;    ///< as --board takes it
  std::string product; ///< what it is sold as
  ArchSpec arch;
  std::int64_t mesh_rows = 1;
  std::int64_t mesh_columns = 1;
  std::int64_t links_per_neighbour = 0; ///< Ethernet links between adjacent chips that collectives may use
  double link_bytes_per_s = 0;          ///< per link and direction
  double hop_latency_ns = 0;

  std::int64_t chips() const { return mesh_rows * mesh_columns; }
};

/// The boards that Tessera knows: n150, n300, t3000, galaxy, p150. Figures: docs/boards.md.
std::span<const BoardSpec> boards();
/// Looks a board up by name or alias (loudbox, quietbox). Throws InvalidArgument listing the known names.
const BoardSpec& board(std::string_view name);

} // namespace tessera
