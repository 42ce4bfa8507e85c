#include "tessera/numerics/tile_layout.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "tessera/base/error.hpp"
#include "tessera/numerics/tile_codec.hpp"
#include "tessera/spec/shape.hpp"

namespace tessera::numerics {
namespace {

std::int64_t tile_offset(std::int64_t row, std::int64_t column, std::int64_t tile_rows, std::int64_t tile_columns,
                         DataType dtype, TileOrder order) {
  const std::int64_t index =
      order == TileOrder::RowMajor ? row * tile_columns + column : tile_position(tile_rows, tile_columns, row, column);
  return index * tile_bytes(dtype);
}

void require_sizes(std::int64_t elements, std::int64_t bytes, std::int64_t rows, std::int64_t columns, DataType dtype) {
  base::require(elements == rows * columns && bytes == tilized_bytes(rows, columns, dtype),
                "[tilize] a {}x{} matrix of {} has {} elements and {} bytes of tiles; received {} and {}", rows,
                columns, to_string(dtype), rows * columns, tilized_bytes(rows, columns, dtype), elements, bytes);
}

} // namespace

std::int64_t tilized_bytes(std::int64_t rows, std::int64_t columns, DataType dtype) {
  return div_up(rows, kTileHeight) * div_up(columns, kTileWidth) * tile_bytes(dtype);
}

void tilize(std::span<const float> matrix, std::int64_t rows, std::int64_t columns, DataType dtype, TileOrder order,
            std::span<std::byte> tiles) {
  require_sizes(std::ssize(matrix), std::ssize(tiles), rows, columns, dtype);
  const std::int64_t tile_rows = div_up(rows, kTileHeight);
  const std::int64_t tile_columns = div_up(columns, kTileWidth);
  for (std::int64_t r = 0; r < tile_rows; ++r) {
    for (std::int64_t c = 0; c < tile_columns; ++c) {
      std::array<float, kTileElements> padded{};
      const std::int64_t height = std::min(kTileHeight, rows - r * kTileHeight);
      const std::int64_t width = std::min(kTileWidth, columns - c * kTileWidth);
      for (std::int64_t i = 0; i < height; ++i) {
        std::copy_n(matrix.data() + (r * kTileHeight + i) * columns + c * kTileWidth, width,
                    padded.data() + i * kTileWidth);
      }
      pack_tile(dtype, padded.data(), kTileWidth,
                tiles.data() + tile_offset(r, c, tile_rows, tile_columns, dtype, order));
    }
  }
}

void untilize(std::span<const std::byte> tiles, std::int64_t rows, std::int64_t columns, DataType dtype,
              TileOrder order, std::span<float> matrix) {
  require_sizes(std::ssize(matrix), std::ssize(tiles), rows, columns, dtype);
  const std::int64_t tile_rows = div_up(rows, kTileHeight);
  const std::int64_t tile_columns = div_up(columns, kTileWidth);
  for (std::int64_t r = 0; r < tile_rows; ++r) {
    for (std::int64_t c = 0; c < tile_columns; ++c) {
      std::array<float, kTileElements> padded{};
      unpack_tile(dtype, tiles.data() + tile_offset(r, c, tile_rows, tile_columns, dtype, order), padded.data(),
                  kTileWidth);
      const std::int64_t height = std::min(kTileHeight, rows - r * kTileHeight);
      const std::int64_t width = std::min(kTileWidth, columns - c * kTileWidth);
      for (std::int64_t i = 0; i < height; ++i) {
        std::copy_n(padded.data() + i * kTileWidth, width,
                    matrix.data() + (r * kTileHeight + i) * columns + c * kTileWidth);
      }
    }
  }
}

void reorder_tiles(std::span<const std::byte> from, TileOrder from_order, std::int64_t tile_rows,
                   std::int64_t tile_columns, DataType dtype, std::span<std::byte> to) {
  const std::int64_t bytes = tile_rows * tile_columns * tile_bytes(dtype);
  base::require(std::ssize(from) == bytes && std::ssize(to) == bytes,
                "[reorder_tiles] {}x{} tiles of {} have {} bytes; received {} and {}", tile_rows, tile_columns,
                to_string(dtype), bytes, from.size(), to.size());
  const TileOrder to_order = from_order == TileOrder::RowMajor ? TileOrder::ColumnPairs : TileOrder::RowMajor;
  for (std::int64_t r = 0; r < tile_rows; ++r) {
    for (std::int64_t c = 0; c < tile_columns; ++c) {
      std::memcpy(to.data() + tile_offset(r, c, tile_rows, tile_columns, dtype, to_order),
                  from.data() + tile_offset(r, c, tile_rows, tile_columns, dtype, from_order),
                  static_cast<std::size_t>(tile_bytes(dtype)));
    }
  }
}

} // namespace tessera::numerics
