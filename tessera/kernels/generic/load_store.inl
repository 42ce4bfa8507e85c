// Loads and stores of rows and tiles. Included inside an ISA's namespace, after formats.inl.

namespace {

/// Byte offset of a tile from the start of its matrix.
template <typename F, typename AnyTiles>
inline std::int64_t tile_offset(const AnyTiles& tiles, std::int64_t tile_row, std::int64_t tile_column) {
  return tile_position(tiles.tile_rows, tiles.tile_columns, tile_row, tile_column) * F::kTileBytes;
}

/// Elements [from, to) of a group.
template <DataType D>
inline void load_part_of_group(const std::byte* tile, std::int64_t group, std::int64_t from, std::int64_t to,
                               float* out) {
  float values[kFaceWidth];
  for (std::int64_t part = 0; part < kParts; ++part) store(values + part * kLanes, decode<D>(tile, group, part));
  for (std::int64_t i = from; i < to; ++i) out[i - from] = values[i];
}

/// Stores the first `count` of 16 values and zeros after them.
template <DataType D>
inline void store_group(const float* in, std::int64_t count, std::byte* tile, std::int64_t group) {
  Vec values[kParts];
  for (std::int64_t part = 0; part < kParts; ++part) {
    const std::int64_t left = count - part * kLanes;
    values[part] = left >= kLanes ? load(in + part * kLanes) : left > 0 ? load_first(in + part * kLanes, left) : zero();
  }
  encode<D>(values, tile, group);
}

/// Zeros in the rows of a tile from `row` on: all formats write zero as zero bytes.
template <DataType D>
inline void clear_from(std::byte* tile, std::int64_t row) {
  for (std::int64_t top = 0; top < kTileHeight; top += kFaceHeight) {
    const std::int64_t first = row > top ? row - top : 0;
    if (first >= kFaceHeight) continue;
    const auto groups = static_cast<std::size_t>(kFaceHeight - first);
    for (std::int64_t half = 0; half < 2; ++half) {
      const std::int64_t group = group_index(top + first, half);
      if constexpr (is_block_float(D)) __builtin_memset(tile + group, 0, groups);
      __builtin_memset(tile + data_offset<D>(group, 0), 0, groups * kFaceWidth * element_bits(D) / 8);
    }
  }
}

} // namespace

void load_row(const ConstTiles& tiles, std::int64_t row, std::int64_t first, std::int64_t count, float* out) noexcept {
  with_format(tiles.dtype, [&]<typename F>(F) {
    const std::int64_t end = first + count;
    for (std::int64_t start = first / kFaceWidth * kFaceWidth; start < end; start += kFaceWidth) {
      const std::byte* tile = tiles.data + tile_offset<F>(tiles, row / kTileHeight, start / kTileWidth);
      const std::int64_t group = group_index(row % kTileHeight, start % kTileWidth / kFaceWidth);
      if (start >= first && start + kFaceWidth <= end) {
        for (std::int64_t part = 0; part < kParts; ++part) {
          store(out + (start - first) + part * kLanes, decode<F::kType>(tile, group, part));
        }
      } else {
        const std::int64_t from = start < first ? first - start : 0;
        load_part_of_group<F::kType>(tile, group, from, smaller(end - start, kFaceWidth), out + (start + from - first));
      }
    }
  });
}

void store_row(const Tiles& tiles, std::int64_t row, const float* in, std::int64_t count) noexcept {
  with_format(tiles.dtype, [&]<typename F>(F) {
    for (std::int64_t start = 0; start < tiles.tile_columns * kTileWidth; start += kFaceWidth) {
      std::byte* tile = tiles.data + tile_offset<F>(tiles, row / kTileHeight, start / kTileWidth);
      store_group<F::kType>(in + smaller(start, count), count - start, tile,
                            group_index(row % kTileHeight, start % kTileWidth / kFaceWidth));
    }
  });
}

void load_tile(const ConstTiles& tiles, std::int64_t tile_row, std::int64_t tile_column, float* out) noexcept {
  with_format(tiles.dtype, [&]<typename F>(F) {
    const std::byte* tile = tiles.data + tile_offset<F>(tiles, tile_row, tile_column);
    for (std::int64_t row = 0; row < kTileHeight; ++row) {
      for (std::int64_t column = 0; column < kTileWidth; column += kLanes) {
        const std::int64_t group = group_index(row, column / kFaceWidth);
        store(out + row * kTileWidth + column, decode<F::kType>(tile, group, column % kFaceWidth / kLanes));
      }
    }
  });
}

void load_tile_transposed(const ConstTiles& tiles, std::int64_t tile_row, std::int64_t tile_column,
                          float* out) noexcept {
  with_format(tiles.dtype, [&]<typename F>(F) {
    const std::byte* tile = tiles.data + tile_offset<F>(tiles, tile_row, tile_column);
    for (std::int64_t row = 0; row < kTileHeight; row += kLanes) {
      for (std::int64_t column = 0; column < kTileWidth; column += kLanes) {
        Vec block[kLanes];
#pragma GCC unroll 16
        for (std::int64_t i = 0; i < kLanes; ++i) {
          const std::int64_t group = group_index(row + i, column / kFaceWidth);
          block[i] = decode<F::kType>(tile, group, column % kFaceWidth / kLanes);
        }
        transpose(block);
#pragma GCC unroll 16
        for (std::int64_t i = 0; i < kLanes; ++i) store(out + (column + i) * kTileHeight + row, block[i]);
      }
    }
  });
}

void store_tile(const Tiles& tiles, std::int64_t tile_row, std::int64_t tile_column, std::int64_t rows,
                const float* in, std::int64_t stride) noexcept {
  with_format(tiles.dtype, [&]<typename F>(F) {
    std::byte* tile = tiles.data + tile_offset<F>(tiles, tile_row, tile_column);
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t half = 0; half < 2; ++half) {
        store_group<F::kType>(in + row * stride + half * kFaceWidth, kFaceWidth, tile, group_index(row, half));
      }
    }
    clear_from<F::kType>(tile, rows);
  });
}

void clear_rows(const Tiles& tiles, std::int64_t row) noexcept {
  with_format(tiles.dtype, [&]<typename F>(F) {
    for (std::int64_t column = 0; column < tiles.tile_columns; ++column)
      clear_from<F::kType>(tiles.data + tile_offset<F>(tiles, row / kTileHeight, column), row % kTileHeight);
  });
}
