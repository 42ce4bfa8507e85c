#include "tessera/perfmodel/matmul.hpp"

#include <algorithm>

#include "tessera/spec/shape.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::perfmodel {
namespace {

constexpr double kNsPerS = 1e9;

double real(std::int64_t value) {
  return static_cast<double>(value);
}

/// Cycles of one core, by what they are spent on. All but `fill` overlap.
struct Parts {
  double matrix = 0;
  double unpack = 0;
  double read = 0; ///< by the cores that read and hand on
  double dram = 0; ///< all cores together
  double steps = 1;
};

Parts parts_of(const MatmulProblem& problem, const MatmulConfig& config, const ChipConstants& chip) {
  const double depth = real(div_up(problem.k, kTileHeight));
  const double rows = real(config.per_core_m);
  const double columns = real(config.per_core_n);
  const double in0 = real(tile_bytes(problem.in0_dtype));
  const double in1 = real(tile_bytes(problem.dtype));
  const double steps = std::ceil(depth / real(config.in0_block_w));
  const double passes_down = real(config.out_blocks_h);
  const double passes_across = real(config.out_blocks_w);
  Parts parts;
  // The narrower side of a subblock is unpacked anew for each of its products, the other once.
  const double unpacked = in1 + in0 / real(std::max(config.subblock_h, config.subblock_w));
  const double products = rows * columns * depth;
  parts.matrix =
      products * (kTileCyclesPerPass * passes(problem.fidelity) / chip.matrix_efficiency + chip.tile_overhead_cycles);
  if (!problem.packer_l1_acc) parts.matrix += rows * columns * (steps - 1) * chip.reload_cycles;
  parts.unpack = products * unpacked / chip.unpack_bytes_per_cycle;
  const auto tile_cycles = [&](double bytes) { return chip.read_tile_cycles + bytes / chip.read_bytes_per_cycle; };
  const double latency = steps * chip.block_latency_cycles;
  const double read1 = passes_down * (columns * depth * tile_cycles(in1) + latency);
  const double read0 = problem.in0_in_l1 ? rows * depth * in0 / chip.noc_bytes_per_cycle + latency
                                         : passes_across * (rows * depth * tile_cycles(in0) + latency);
  parts.read = std::max(read0, read1);
  const double all_rows = real(div_up(problem.m, kTileHeight));
  const double all_columns = real(div_up(problem.n, kTileWidth));
  const double bytes =
      all_columns * depth * in1 * passes_down + (problem.in0_in_l1 ? 0.0 : all_rows * depth * in0 * passes_across);
  parts.dram = bytes / chip.dram_read_bytes_per_s * chip.matmul_clock_hz;
  parts.steps = steps * passes_down * passes_across;
  return parts;
}

Bound bound_of(const Parts& parts) {
  const double most = std::max({parts.matrix, parts.unpack, parts.read, parts.dram});
  if (most == parts.matrix) return Bound::MATRIX_UNIT;
  if (most == parts.unpack) return Bound::UNPACKER;
  return most == parts.read ? Bound::NOC : Bound::DRAM;
}

double host_call_ns(const MatmulProblem& problem, const ChipConstants& chip) {
  if (!problem.tuned) return chip.host_call_default_ns;
  switch (problem.dtype) {
    case DataType::BFLOAT4_B:
    case DataType::BFLOAT2_B:
      return chip.host_call_tuned_bfp4_ns;
    case DataType::BFLOAT8_B:
      return chip.host_call_tuned_bfp8_ns;
    default:
      return chip.host_call_tuned_bf16_ns;
  }
}

std::int64_t bytes_of(std::int64_t height, std::int64_t width, DataType dtype) {
  return div_up(height, kTileHeight) * div_up(width, kTileWidth) * tile_bytes(dtype);
}

/// The roofline: the whole grid at its peak, or all bytes at the data sheet's rate.
double ideal_ns(const MatmulProblem& problem, const ArchSpec& arch, std::int64_t bytes) {
  const double products =
      real(div_up(problem.m, kTileHeight) * div_up(problem.k, kTileHeight) * div_up(problem.n, kTileWidth));
  const double cycles = products * kTileCyclesPerPass * passes(problem.fidelity) / real(problem.grid.cores());
  return std::max(cycles / arch.clock_hz, real(bytes) / arch.dram_bytes_per_s) * kNsPerS;
}

} // namespace

Prediction predict_matmul(const MatmulProblem& problem, const ArchSpec& arch, Launch launch,
                          const Constants& constants) {
  const ChipConstants& chip = constants.of(arch);
  const MatmulConfig config = configure(problem, arch);
  const Parts parts = parts_of(problem, config, chip);
  const double compute = overlap({parts.matrix, parts.unpack}, 8);
  const double steady = overlap({compute, parts.read, parts.dram});
  const double fill = std::min(compute, parts.read) / parts.steps; // the first step's reads, or the last one's products
  Prediction result;
  result.cycles = chip.program_cycles + steady + fill;
  result.bound = bound_of(parts);
  const std::int64_t output = bytes_of(problem.m, problem.n, problem.output_dtype);
  result.dram_bytes = bytes_of(problem.k, problem.n, problem.dtype);
  result.time_ns = result.cycles / chip.matmul_clock_hz * kNsPerS + chip.launch_gap_ns;
  if (!problem.in0_in_l1) {
    result.dram_bytes += output + bytes_of(problem.m, problem.k, problem.in0_dtype);
    const double last = real(output) / real(config.out_blocks_h * config.out_blocks_w);
    const double drain_ns = last / chip.drain_bytes_per_s * kNsPerS;
    result.time_ns += drain_ns;
    if (drain_ns > result.time_ns / 2) result.bound = Bound::DRAM;
  }
  if (chip.program_cycles > result.cycles / 2) result.bound = Bound::LAUNCH;
  result.error = problem.tuned ? constants.errors.tuned_matmul : constants.errors.default_matmul;
  result.ideal_ns = ideal_ns(problem, arch, result.dram_bytes);
  if (launch == Launch::UNTRACED) {
    const double host = host_call_ns(problem, chip);
    const double card = result.time_ns + chip.untraced_gap_ns;
    result.time_ns = overlap({card, host}, 5);
    if (host > card) result.bound = Bound::HOST;
  }
  return result;
}

Prediction predict_decode_matmul(const MatmulProblem& problem, const ArchSpec& arch, const Constants& constants) {
  const ChipConstants& chip = constants.of(arch);
  Prediction result;
  result.dram_bytes = bytes_of(problem.k, problem.n, problem.dtype);
  const double products =
      real(div_up(problem.m, kTileHeight) * div_up(problem.k, kTileHeight) * div_up(problem.n, kTileWidth));
  const double tile = std::max(chip.decode_tile_cycles, kTileCyclesPerPass * passes(problem.fidelity));
  result.cycles = products / real(arch.dram_banks) * tile;
  const double dram_ns = real(result.dram_bytes) / chip.sharded_dram_bytes_per_s * kNsPerS;
  const double compute_ns = result.cycles / arch.clock_hz * kNsPerS;
  const double steady = overlap({dram_ns, compute_ns}, 8);
  result.time_ns = steady + chip.decode_matmul_ns;
  result.bound = chip.decode_matmul_ns > steady ? Bound::LAUNCH : dram_ns > compute_ns ? Bound::DRAM : Bound::UNPACKER;
  result.ideal_ns = ideal_ns(problem, arch, result.dram_bytes);
  result.error = constants.errors.op;
  return result;
}

} // namespace tessera::perfmodel
