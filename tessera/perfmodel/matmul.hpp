#pragma once

#include <cstdint>

#include <vector>

#include "tessera/perfmodel/circular_buffers.hpp"
#include "tessera/perfmodel/constants.hpp"
#include "tessera/perfmodel/prediction.hpp"
#include "tessera/spec/compute_config.hpp"
#include "tessera/spec/data_type.hpp"

namespace tessera::perfmodel {

/// Cores in a rectangle.
struct Grid {
  std::int64_t rows = 8;
  std::int64_t columns = 8;

  std::int64_t cores() const { return rows * columns; }
  friend bool operator==(const Grid&, const Grid&) = default;
};

/// A product M×K · K×N of tiled matrices.
struct MatmulProblem {
  std::int64_t m = 0;
  std::int64_t k = 0;
  std::int64_t n = 0;
  DataType dtype = DataType::BFLOAT16;     ///< of the K×N operand
  DataType in0_dtype = DataType::BFLOAT16; ///< of the M×K operand
  DataType output_dtype = DataType::BFLOAT16;
  MathFidelity fidelity = MathFidelity::HiFi2;
  bool tuned = true;         ///< blocks chosen for the shape; else what ttnn.matmul chooses by itself
  bool in0_in_l1 = false;    ///< block sharded over the grid, and the result too; else both in DRAM
  bool packer_l1_acc = true; ///< partial results are added while they are packed
  Grid grid;
};

/// How a product is cut up: extents in tiles.
struct MatmulConfig {
  bool one_dimensional = false; ///< all cores share the M×K operand and have their own columns
  std::int64_t per_core_m = 1;
  std::int64_t per_core_n = 1;
  std::int64_t in0_block_w = 1;  ///< of the inner dimension, for each step
  std::int64_t out_blocks_h = 1; ///< passes of a core over its results
  std::int64_t out_blocks_w = 1;
  std::int64_t subblock_h = 1; ///< results that stay in the destination register
  std::int64_t subblock_w = 1;
  std::int64_t cores = 1;
};

/// The cut that TT-NN's benchmark (tuned) or ttnn.matmul (otherwise) takes: one block for each core of the grid, the
/// inner dimension in as many steps as the grid has columns, fewer where L1 is too small. Source: tenstorrent/tt-metal,
/// tests/ttnn/unit_tests/benchmarks/test_benchmark.py and
/// ttnn/cpp/ttnn/operations/matmul/device/config/matmul_program_config.cpp.
MatmulConfig configure(const MatmulProblem& problem, const ArchSpec& arch);

/// The circular buffers of a core of a cut whose blocks fit `room` bytes, or of the smallest; of one row of tiles
/// (decode), those of the matmul whose weights are sharded over the DRAM banks, whose readers are as many cores as
/// there are banks.
std::vector<CircularBuffer> matmul_buffers(const MatmulProblem& problem, const ArchSpec& arch, std::int64_t room);

/// The grid of an architecture that a benchmark of this shape would be run on: the largest whose columns divide K and N
/// and whose rows divide M, all in tiles; the whole grid when none does.
Grid natural_grid(std::int64_t m, std::int64_t k, std::int64_t n, const ArchSpec& arch);

/// Whether a tuned matmul can hold its M×K operand and its result in L1, block sharded, in one pass over its results.
bool fits_in_l1(const MatmulProblem& problem, const ArchSpec& arch);

/// How a program is started.
enum class Launch { TRACED, UNTRACED };

/// Time of one of many equal calls in a row. Throws Unsupported for an architecture without measurements.
Prediction predict_matmul(const MatmulProblem& problem, const ArchSpec& arch, Launch launch,
                          const Constants& constants);

/// A product of one row of tiles (decode) with weights sharded over the DRAM banks.
Prediction predict_decode_matmul(const MatmulProblem& problem, const ArchSpec& arch, const Constants& constants);

/// 16 cycles for each pass of the fidelity over a product of two tiles.
inline constexpr double kTileCyclesPerPass = 16;
constexpr int passes(MathFidelity fidelity) {
  return static_cast<int>(fidelity) + 1;
}

} // namespace tessera::perfmodel
