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

/// Calls `body(row, half, group)` for the groups of the first `rows` rows of a tile in the order of its memory, which
/// the hardware's prefetching follows.
template <typename Body>
[[gnu::always_inline]] inline void for_each_group(std::int64_t rows, const Body& body) {
  for (std::int64_t top = 0; top < rows; top += kFaceHeight) {
    const std::int64_t end = smaller(top + kFaceHeight, rows);
    for (std::int64_t half = 0; half < 2; ++half) {
      for (std::int64_t row = top; row < end; ++row) body(row, half, group_index(row, half));
    }
  }
}

/// One tile of a product: `rows` rows, zeros below. `residual` is a tile too, of the same format.
template <DataType D, bool kHasBias, bool kHasResidual, bool kRelu>
inline void store_product_tile(const ProductColumn& product, const float* sums, std::int64_t rows,
                               const std::byte* residual, std::byte* tile) {
  for_each_group(rows, [&](std::int64_t row, std::int64_t half, std::int64_t group) __attribute__((always_inline)) {
    Vec values[kParts];
    for (std::int64_t part = 0; part < kParts; ++part) {
      const std::int64_t column = half * kFaceWidth + part * kLanes;
      Vec value = load(sums + row * kTileWidth + column);
      if constexpr (kHasBias) value = add(value, load(product.bias + column));
      if constexpr (kHasResidual) value = add(value, decode<D>(residual, group, part));
      if constexpr (kRelu) value = max(zero(), value);
      values[part] = value;
    }
    encode<D>(values, tile, group);
  });
  clear_from<D>(tile, rows);
}

/// Calls `body` with std::bool_constant.
template <typename Body>
inline void with_bool(bool value, const Body& body) {
  if (value) return body(std::true_type{});
  body(std::false_type{});
}

} // namespace

void store_product(const Tiles& tiles, std::int64_t tile_row, std::int64_t tile_column,
                   const ProductColumn& product) noexcept {
  with_format(tiles.dtype, [&]<typename F>(F) {
    const ConstTiles& residual = product.residual;
    // A residual of another format is widened first: seldom, and not worth a function for each pair of formats.
    const bool direct = residual.data != nullptr && residual.dtype == tiles.dtype;
    float widened[kTileElements];
    ProductColumn rest = product;
    for (std::int64_t row = 0; row < product.rows; row += kTileHeight, ++tile_row) {
      const std::int64_t rows = smaller(kTileHeight, product.rows - row);
      const float* sums = product.sums + row * kTileWidth;
      if (residual.data != nullptr && !direct) {
        load_tile(residual, tile_row, tile_column, widened);
        for (std::int64_t i = 0; i < rows * kTileWidth; i += kLanes) {
          Vec value = load(sums + i);
          if (product.bias != nullptr) value = add(value, load(product.bias + i % kTileWidth));
          store(widened + i, add(value, load(widened + i)));
        }
        sums = widened;
        rest.bias = nullptr;
      }
      std::byte* const tile = tiles.data + tile_offset<F>(tiles, tile_row, tile_column);
      const std::byte* const other = direct ? residual.data + tile_offset<F>(residual, tile_row, tile_column) : nullptr;
      with_bool(rest.bias != nullptr, [&](auto has_bias) {
        with_bool(direct, [&](auto has_residual) {
          with_bool(product.relu, [&](auto relu) {
            store_product_tile<F::kType, has_bias.value, has_residual.value, relu.value>(rest, sums, rows,
                                                                                                   other, tile);
          });
        });
      });
    }
  });
}

void pack_bf16_tile(const ConstTiles& tiles, std::int64_t tile_row, std::int64_t tile_column, std::int64_t rows,
                    std::int64_t count, std::byte* out, std::int64_t stride) noexcept {
  with_format(tiles.dtype, [&]<typename F>(F) {
    const std::byte* tile = tiles.data + tile_offset<F>(tiles, tile_row, tile_column);
    if constexpr (F::kType == DataType::BFLOAT16 && kPacksBfloat16) {
      constexpr std::int64_t kGroupBytes = kFaceWidth * element_bits(F::kType) / 8;
      if (count == kTileWidth) {
        return for_each_group(rows, [&](std::int64_t row, std::int64_t half, std::int64_t group) {
          __builtin_memcpy(out + row * stride + half * kGroupBytes, tile + group * kGroupBytes, kGroupBytes);
        });
      }
      if (count <= kFaceWidth) {
        constexpr std::int64_t kPairBytes = 4;
        for (std::int64_t row = 0; row < rows; ++row, out += stride) {
          const std::byte* values = tile + group_index(row, 0) * kGroupBytes;
          for (std::int64_t i = 0; i < 2 * count; i += kPairBytes) __builtin_memcpy(out + i, values + i, kPairBytes);
        }
        return;
      }
    }
    for (std::int64_t row = 0; row < rows; ++row, out += stride) {
      float values[kTileWidth];
      for (std::int64_t half = 0; half < 2; ++half) {
        for (std::int64_t part = 0; part < kParts; ++part) {
          store(values + half * kFaceWidth + part * kLanes,
                decode<F::kType>(tile, group_index(row, half), part));
        }
      }
      pack_bf16(values, count, out);
    }
  });
}

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
