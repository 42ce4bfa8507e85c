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

} // namespace tessera
