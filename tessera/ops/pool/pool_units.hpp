#pragma once

#include <cstdint>
#include <functional>

#include "tessera/ops/exact/rows.hpp"

// Pools as the card computes them: the pixels of a window are the rows of tiles, which the matrix unit reduces to one.

namespace tessera::ops {

struct PoolUnits {
  bool maximum = false;          ///< else the sum, times the scaler
  std::int64_t window_tiles = 1; ///< tiles that a window's pixels fill
  std::int64_t columns = 1;      ///< of tiles
  DataType input = DataType::BFLOAT16;
  DataType output = DataType::BFLOAT16;
};
/// Inputs: input_tensor (tile t * columns + c holds pixels 32 t .. of columns 32 c ..), scaler; output.
Decomposition pool_units(const PoolUnits& pool);

/// How windows lie in a tensor. `pixel(row, i)` is the row of the input that the i-th pixel of output row `row` is, or
/// -1: outside; `scaler(row)` what its sum is multiplied by.
struct PoolWindows {
  std::int64_t size = 1; ///< pixels of a window
  std::function<std::int64_t(std::int64_t row, std::int64_t i)> pixel;
  std::function<float(std::int64_t row)> scaler;
};

/// The whole program: windows to rows in scratch memory, rows to the output.
runtime::Program pool_exactly(std::string_view name, const Tensor& input, const Tensor& output, const PoolUnits& units,
                              const PoolWindows& windows);

/// For units that make a row of the output each: tile `tile` of row work.row goes to the program's scratch memory.
TileIo::Writer write_scratch_row(std::int64_t columns);
/// The program of such units: kernel and readers, then the rows from scratch memory to the output.
runtime::Program row_by_row(std::string_view name, const Tensor& output, Decomposition kernel,
                            std::vector<TileIo::Reader> readers);

} // namespace tessera::ops
