// Activations times a column of weight tiles. Included inside an ISA's namespace, after formats.inl and
// register_tile.inl.

namespace {

inline constexpr std::int64_t kVectors = kTileWidth / kLanes; // vectors across a tile
// Depth of the weights widened at a time where several register tiles use them: 128 rows of 32 floats are 16 KiB, a
// third of the level 1 cache, which leaves room for the activations that stream through it.
inline constexpr std::int64_t kPanelDepth = 128;
// How far ahead a single pass over the weights asks for them. Measured with M = 1 on an EPYC of family 1Ah: BFLOAT16
// gains 60 % and the block formats a little, for FLOAT32 the hardware's own prefetch is better.
inline constexpr std::int64_t kPrefetchBytes = 4096;

/// The scale of every group of a tile, 2^(exponent - 133). False if scale_code must do it instead because a product
/// with it would not give the same bits: near underflow and for Inf and NaN.
template <DataType D>
inline bool make_scales(const std::byte* tile, float* scales) {
  if constexpr (!is_block_float(D)) return true;
  VecI least = broadcast_int(255);
  VecI most = broadcast_int(0);
  for (std::int64_t g = 0; g < kGroups; g += kLanes) {
    const VecI exponents = load_u8(tile + g);
    least = imin(least, exponents);
    most = imax(most, exponents);
    store(scales + g, from_bits(shift_left<23>(isub(exponents, broadcast_int(6)))));
  }
  return !any(greater(broadcast_int(7), least)) && !any(greater(most, broadcast_int(254)));
}

/// Part of a group by its scale.
template <DataType D>
inline Vec decode_scaled(const std::byte* tile, const float* scales, std::int64_t group, std::int64_t part) {
  if constexpr (is_block_float(D)) {
    return mul(load_codes<D>(tile + data_offset<D>(group, part)), broadcast(scales[group]));
  } else {
    return decode<D>(tile, group, part);
  }
}

/// A column of tiles: the first tile and the bytes from one to the next.
struct TileRun {
  const std::byte* first;
  std::int64_t step;

  TileRun from(std::int64_t tile) const { return {first + tile * step, step}; }
};

/// The order of the steps of k: ascending, or in pairs with the odd one first (kernels.hpp, matmul_bf16_tile_columns).
/// Activations in the second order come swapped already, so that only the rows of weights change places.
enum class Order : std::int64_t { ASCENDING = 0, PAIRS = 1 };

/// Calls `body(k, v, part)` for vector v of rows 0 to `steps` - 1 of a tile. REQUIRES: make_scales was true.
/// Inlined by force, like `body`: a sum that a call reaches by reference lives in memory, which costs a factor of
/// three.
template <DataType D, Order kOrder, typename Body>
[[gnu::always_inline]] inline void for_each_part(const std::byte* tile, const float* scales, std::int64_t steps,
                                                 const Body& body) {
  for (std::int64_t face = 0; face < 2; ++face) {
    const std::int64_t end = smaller(steps - face * kFaceHeight, kFaceHeight);
    for (std::int64_t r = 0; r < end; ++r) {
#pragma GCC unroll 4
      for (std::int64_t v = 0; v < kVectors; ++v) {
        const std::int64_t group = (face * 2 + v / kParts) * kFaceHeight + (r ^ static_cast<std::int64_t>(kOrder));
        body(face * kFaceHeight + r, v, decode_scaled<D>(tile, scales, group, v % kParts));
      }
    }
  }
}

/// Widens a whole tile to 32 rows of 32 floats.
template <DataType D, Order kOrder>
[[gnu::noinline]] void widen_tile(const std::byte* tile, float* out) {
  alignas(64) float scales[kGroups];
  if (make_scales<D>(tile, scales)) {
    for_each_part<D, kOrder>(tile, scales, kTileHeight,
                     [&](std::int64_t k, std::int64_t v, Vec part) { store(out + k * kTileWidth + v * kLanes, part); });
    return;
  }
  for (std::int64_t row = 0; row < kTileHeight; ++row) {
    for (std::int64_t column = 0; column < kTileWidth; column += kLanes) {
      const std::int64_t group = group_index(row ^ static_cast<std::int64_t>(kOrder), column / kFaceWidth);
      store(out + row * kTileWidth + column, decode<D>(tile, group, column % kFaceWidth / kLanes));
    }
  }
}

/// Asks for memory that may lie beyond the end of the weights.
inline void prefetch_range(const std::byte* start, std::int64_t bytes) {
  for (std::int64_t i = 0; i < bytes; i += 64) prefetch(start + i);
}

/// out[rows, 32] += a[rows, depth] * panel[depth, 32].
inline void add_panel(const float* a, std::int64_t a_stride, std::int64_t rows, std::int64_t depth, const float* panel,
                      bool accumulate, float* out) {
  for (std::int64_t j = 0; j < kTileWidth; j += 2 * kLanes) {
    product<2>(rows, {.a = a,
                      .a_stride = a_stride,
                      .b = panel + j,
                      .b_stride = kTileWidth,
                      .depth = depth,
                      .c = out + j,
                      .c_stride = kTileWidth,
                      .accumulate = accumulate});
  }
}

/// out[kRows, 32] += a * weights over the tiles of a column, up to the first one whose exponents allow no scale. Gives
/// the depth done. The weights are read once and never leave the registers. No call in here: the sums would not survive
/// it.
template <DataType D, Order kOrder, int kRows>
[[gnu::noinline]] std::int64_t add_scaled_tiles(const float* a, std::int64_t a_stride, std::int64_t depth,
                                                TileRun column, float* out) {
  Vec sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[i][v] = load(out + i * kTileWidth + v * kLanes);
  }
  alignas(64) float scales[kGroups];
  std::int64_t start = 0;
  for (; start < depth && make_scales<D>(column.first, scales); start += kTileHeight) {
    if constexpr (D != DataType::FLOAT32) prefetch_range(column.first + kPrefetchBytes, Format<D>::kTileBytes);
    for_each_part<D, kOrder>(
        column.first, scales, smaller(kTileHeight, depth - start),
        [&](std::int64_t k, std::int64_t v, Vec part) __attribute__((always_inline)) {
#pragma GCC unroll 16
          for (int i = 0; i < kRows; ++i) {
            sum[i][v] = fma(broadcast(a[i * a_stride + start + k]), part, sum[i][v]);
          }
        });
    column.first += column.step;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(out + i * kTileWidth + v * kLanes, sum[i][v]);
  }
  return start;
}

/// Few rows: weights go from memory to the sums directly.
template <DataType D, Order kOrder, int kRows>
inline void matmul_fused(const float* a, std::int64_t a_stride, std::int64_t depth, TileRun column, float* out) {
  for (std::int64_t i = 0; i < kRows * kTileWidth; i += kLanes) store(out + i, zero());
  for (std::int64_t done = 0; done < depth;) {
    done += add_scaled_tiles<D, kOrder, kRows>(a + done, a_stride, depth - done, column.from(done / kTileHeight), out);
    if (done >= depth) break;
    alignas(64) float panel[kTileElements];
    widen_tile<D, kOrder>(column.from(done / kTileHeight).first, panel);
    add_panel(a + done, a_stride, kRows, smaller(kTileHeight, depth - done), panel, true, out);
    done += kTileHeight;
  }
}

/// Many rows: a panel of weights is widened once and stays in the level 1 cache while all rows pass.
template <DataType D, Order kOrder>
inline void matmul_panels(const float* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth,
                          TileRun column, float* out) {
  alignas(64) float panel[kPanelDepth * kTileWidth];
  for (std::int64_t start = 0; start < depth; start += kPanelDepth) {
    const std::int64_t steps = smaller(kPanelDepth, depth - start);
    for (std::int64_t k = 0; k < steps; k += kTileHeight) {
      widen_tile<D, kOrder>(column.first, panel + k * kTileWidth);
      column.first += column.step;
    }
    // The weights of the next panel arrive while this one is in use.
    prefetch_range(column.first, kPanelDepth / kTileHeight * Format<D>::kTileBytes);
    add_panel(a + start, a_stride, m, steps, panel, start > 0, out);
  }
}

template <Order kOrder>
inline void multiply_column(const float* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth, const ConstTiles& w,
                            std::int64_t tile_column, float* out) {
  if (m <= 0) return;
  if (depth <= 0) {
    for (std::int64_t i = 0; i < m * kTileWidth; ++i) out[i] = 0.0F;
    return;
  }
  with_format(w.dtype, [&]<typename F>(F) {
    const TileRun column{w.data + tile_position(w.tile_rows, w.tile_columns, 0, tile_column) * F::kTileBytes,
                         tile_step(w.tile_columns, tile_column) * F::kTileBytes};
    if (m > kFusedRows) return matmul_panels<F::kType, kOrder>(a, a_stride, m, depth, column, out);
    with_rows<kFusedRows>(
        m, [&](auto rows) { matmul_fused<F::kType, kOrder, decltype(rows)::value>(a, a_stride, depth, column, out); });
  });
}

} // namespace
