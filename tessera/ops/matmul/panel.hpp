#pragma once

#include <cstddef>
#include <cstdint>

#include "tessera/ops/eltwise/activation.hpp"
#include "tessera/ops/op.hpp"
#include "tessera/spec/compute_config.hpp"

// What the matrix products of this layer share: rows of activations packed as a kernel reads them, and columns of tiles
// of their products. Private to the ops.

namespace tessera::ops {

/// Extents of one product, in elements; the depth also padded to whole tiles.
struct Extents {
  std::int64_t rows;
  std::int64_t depth;
  std::int64_t padded_depth;
  std::int64_t columns;
};

/// The rows of a as the kernel reads them, in the program's scratch memory.
struct Panel {
  enum class Arithmetic {
    FP32,
    BF16,
    INT8
  }; ///< matmul_tile_column, matmul_bf16_tile_columns, matmul_int8_tile_columns

  Arithmetic arithmetic;
  std::int64_t tile_bytes; ///< of 32 values of a row
  std::int64_t row_bytes;

  Panel(DataType activations, DataType weights, MathFidelity fidelity, const Extents& extents);
};

/// 32 values of a row into their place in the panel.
void pack_values(const Panel& panel, const float* values, std::byte* out);
/// The same for `rows` rows of a tile.
void pack_tile(const Panel& panel, const kernels::ConstTiles& tiles, const TileAt& tile, std::byte* out);

/// Columns of tiles that one unit takes: long enough a run of memory to stream, unless too few units would be left to
/// share.
std::int64_t tile_columns_of_unit(const TensorSpec& weight);

/// What follows the product of a column of tiles: bias, residual (in this order, none without data), activation.
struct ProductEnd {
  kernels::Tiles tiles;         ///< where it goes,
  std::int64_t tile_row = 0;    ///< from this row of tiles on
  kernels::ConstTiles bias;     ///< one row
  kernels::ConstTiles residual; ///< where the output's tiles stand
  Activation activation = Activation::NONE;
};
/// Rounds and stores `sums` [rows, 32], which it uses up.
void finish_column(const ProductEnd& end, std::int64_t column, std::int64_t rows, float* sums);

/// Columns of tiles [first, last) of the panel's rows times a weight, each finished.
void multiply_columns(const std::byte* packed, const Panel& panel, const Extents& extents,
                      const kernels::ConstTiles& weight, const ProductEnd& end, std::int64_t first, std::int64_t last);

} // namespace tessera::ops
