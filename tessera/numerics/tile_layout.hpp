#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/spec/data_type.hpp"

namespace tessera::numerics {

/// The order of a matrix's tiles. RowMajor: the card's pages. ColumnPairs: TensorSpec::tile_index, the host memory
/// behind a device.
enum class TileOrder { RowMajor, ColumnPairs };

/// Bytes of a tilized [rows, columns] matrix, padding included.
std::int64_t tilized_bytes(std::int64_t rows, std::int64_t columns, DataType dtype);

/// Converts a row-major [rows, columns] matrix to tiles of `dtype` by the host's rules; the padding is zero. Throws
/// InvalidArgument when a span's size does not fit.
void tilize(std::span<const float> matrix, std::int64_t rows, std::int64_t columns, DataType dtype, TileOrder order,
            std::span<std::byte> tiles);
/// The inverse; padding is dropped.
void untilize(std::span<const std::byte> tiles, std::int64_t rows, std::int64_t columns, DataType dtype,
              TileOrder order, std::span<float> matrix);

/// Copies tiles from one order into the other. `from` and `to` must not overlap.
void reorder_tiles(std::span<const std::byte> from, TileOrder from_order, std::int64_t tile_rows,
                   std::int64_t tile_columns, DataType dtype, std::span<std::byte> to);

} // namespace tessera::numerics
