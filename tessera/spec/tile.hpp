#pragma once

#include <cstdint>

namespace tessera {

/// A tile is 32x32 elements: four 16x16 faces, stored f0 (top left), f1 (top right), f2, f3, each row-major.
inline constexpr std::int64_t kTileHeight = 32;
inline constexpr std::int64_t kTileWidth = 32;
inline constexpr std::int64_t kTileElements = kTileHeight * kTileWidth;
inline constexpr std::int64_t kFaceHeight = 16;
inline constexpr std::int64_t kFaceWidth = 16;

/// Number of the element (row, column) of a tile in storage order, 0 to 1023.
constexpr std::int64_t tile_element(std::int64_t row, std::int64_t column) {
  const std::int64_t face = row / kFaceHeight * 2 + column / kFaceWidth;
  return face * kFaceHeight * kFaceWidth + row % kFaceHeight * kFaceWidth + column % kFaceWidth;
}

/// Number of tile (row, column) of a matrix in the host memory behind a device: pairs of neighbouring columns of tiles,
/// left and right in turn, down the matrix; a last column without a neighbour is by itself. So the weights that one
/// worker multiplies are one run of memory (docs/design/tile_order.md). Always inlined, as kernels of every instruction
/// set use it.
[[gnu::always_inline]] constexpr std::int64_t tile_position(std::int64_t tile_rows, std::int64_t tile_columns,
                                                            std::int64_t row, std::int64_t column) {
  const std::int64_t first = column / 2 * 2;
  return first + 1 < tile_columns ? first * tile_rows + row * 2 + column - first : first * tile_rows + row;
}
/// Tiles from one tile of a column to the next one below.
[[gnu::always_inline]] constexpr std::int64_t tile_step(std::int64_t tile_columns, std::int64_t column) {
  return column / 2 * 2 + 1 < tile_columns ? 2 : 1;
}

} // namespace tessera
