#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "tessera/spec/board_spec.hpp"

namespace tessera::perfmodel {

/// What was measured of one architecture's programs. Cycles are of the worker clock, rates of one chip.
/// Each field's source stands beside its value in constants.json.
struct ChipConstants {
  // Matmul, blocks spread over a grid of cores.
  double matmul_clock_hz = 0;        ///< the clock that long matmuls keep up: power lowers it
  double matrix_efficiency = 0;      ///< part of the matrix unit's peak inside a block
  double tile_overhead_cycles = 0;   ///< of each product of two tiles
  double unpack_bytes_per_cycle = 0; ///< into the matrix unit's source registers
  double read_tile_cycles = 0;       ///< to request one tile of interleaved DRAM
  double read_bytes_per_cycle = 0;   ///< that one core reads
  double block_latency_cycles = 0;   ///< to fetch a block and hand it on
  double program_cycles = 0;         ///< to begin and end a program on all cores
  double launch_gap_ns = 0;          ///< from one traced program to the next
  double drain_bytes_per_s = 0;      ///< results to DRAM after the last block
  double dram_read_bytes_per_s = 0;  ///< interleaved, of all cores together
  double noc_bytes_per_cycle = 0;    ///< multicast from L1
  double reload_cycles = 0;          ///< to add a partial result back, for each tile and block, without L1 accumulation
  // The host's part of an untraced call.
  double host_call_default_ns = 0;
  double host_call_tuned_bf16_ns = 0;
  double host_call_tuned_bfp8_ns = 0;
  double host_call_tuned_bfp4_ns = 0;
  double untraced_gap_ns = 0;
  // Decode: matmuls of one row of tiles.
  double sharded_dram_bytes_per_s = 0; ///< weights that lie sharded over the banks
  double decode_tile_cycles = 0;       ///< of one tile of weights in the core beside its bank
  double decode_matmul_ns = 0;         ///< to begin and end one
  // Attention.
  double attention_chunk_cycles = 0; ///< of 32 keys of one head in decode, on one core
  double attention_dram_bytes_per_s = 0;
  double attention_efficiency = 0; ///< of the matrix unit's HiFi4 rate in prefill
  double attention_ns = 0;         ///< to begin and end
  double attention_join_ns = 0;    ///< to join the part of each further core of a head
  // Other programs.
  double stream_ns = 0;    ///< to begin and end one that reads and writes DRAM
  double stream_l1_ns = 0; ///< the same, of shards in L1
  double op_gap_ns = 0;    ///< from one kernel's end to the next one's start in a trace
  double minimal_matmul_ns = 0;
  double minimal_matmul_bytes_per_s = 0; ///< of the weights
  double narrow_read_cycles = 0;         ///< a tile of a matmul whose cores each have their own rows
  double narrow_write_cycles = 0;
  double conv_tile_cycles = 0; ///< a result of a convolution, beside its products
  // Relative: half of all predictions lie within.
  double decode_error = 0;      ///< tokens/s of one chip
  double mesh_decode_error = 0; ///< of several
  double prefill_error = 0;
};

/// A program that streams its tiles through the cores: so many cycles for each tile of a core, by where it lies.
struct StreamConstants {
  double base_ns = 0;
  double dram_tile_cycles = 0;
  double l1_tile_cycles = 0;
};

/// Collectives on one architecture: start + hop * hops + bytes / rate, for each algorithm.
struct CollectiveConstants {
  double start_ns = 0;
  double hop_ns = 0;
  double bytes_per_s = 0; ///< of one link
};

/// The host's part of a decode step.
struct HostConstants {
  double step_ns = 0;         ///< starting the trace, reading the token
  double logit_row_ns = 0;    ///< of each user beyond the first, for 2^17 logits
  double logits_ns = 0;       ///< of 2^17 logits on one chip
  double submesh_ns = 0;      ///< of each further copy of the model that the same host drives
  double prefill_ns = 0;      ///< starting a prefill, reading the first token
  double prefill_chip_ns = 0; ///< the same, of each further chip that shares the model
  double eager_op_ns = 0;     ///< of an op that is not traced
  double image_batch_ns = 0;  ///< of a batch of images
};

/// Relative: half of all predictions lie within.
struct ErrorBars {
  double tuned_matmul = 0;
  double default_matmul = 0;
  double op = 0;
  double images = 0;
};

struct Constants {
  std::string release;                                                 ///< of TT-NN, that the figures speak of
  std::map<std::string, ChipConstants, std::less<>> chips;             ///< by ArchSpec::name
  std::map<std::string, StreamConstants, std::less<>> streams;         ///< by the kind of program
  std::map<std::string, CollectiveConstants, std::less<>> collectives; ///< "all_gather.Linear", ...
  HostConstants host;
  ErrorBars errors;

  /// Throws Unsupported for an architecture without measurements, naming the known ones.
  const ChipConstants& of(const ArchSpec& arch) const;
  const StreamConstants& stream(std::string_view kind) const;
};

/// The constants that this build holds: constants.json of this folder.
const Constants& constants();
/// Reads constants from JSON text of the same form. Throws IoError for what is missing, unknown or not a number.
Constants read_constants(std::string_view json);

} // namespace tessera::perfmodel
