#include <type_traits>

#include "tessera/kernels/avx2/vec.hpp"
#include "tessera/kernels/isa.hpp"
#include "tessera/spec/tile.hpp"

// bfloat16 activations times columns of weight tiles in fp32, which holds products of bfloat16 values exactly. Steps of
// k come in pairs, the odd one first: pack_bf16 swaps the activations, the row of weights is k ^ 1.

namespace tessera::kernels::avx2 {
#include "tessera/kernels/generic/formats.inl"

#include "tessera/kernels/generic/register_tile.inl"

#include "tessera/kernels/generic/matmul_column.inl"

namespace {

constexpr std::int64_t kHalves = kTileWidth / kFaceWidth; ///< faces side by side; a half is 16 columns of a tile
constexpr std::int64_t kPair = 2;                         ///< columns of tiles that alternate in memory
/// Shared exponents below this can take a value of the widest format below the normal numbers. A shared exponent of e
/// stands for a factor of 2^(e - 133) on codes of -127 to 127, which is a float of exponent field e - 6.
constexpr int kLowestSafeExponent = 7;
constexpr int kHighestSafeExponent = 254;

/// The codes of a tile as signed bytes, face by face.
template <DataType D>
inline void read_codes(const std::byte* tile, std::byte* codes) {
  if constexpr (D == DataType::BFLOAT8_B) {
    const VecI magnitude = _mm256_set1_epi8(0x7F);
    for (std::int64_t i = 0; i < kTileElements; i += 32) {
      const VecI signed_magnitudes = load_bits(tile + kGroups + i);
      store_bits(codes + i, _mm256_sign_epi8(iand(signed_magnitudes, magnitude), signed_magnitudes));
    }
  } else {
    // In BFLOAT8_B's units.
    const VecI table = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 16, 32, 48, 64, 80, 96, 112, 0, -16, -32, -48, -64, -80, -96, -112));
    const VecI nibble = _mm256_set1_epi8(0x0F);
    for (std::int64_t i = 0; i < kTileElements; i += 64) {
      // Four rows of a face, 0, 2, 1, 3, so that the unpacking within 128 bits puts them in order.
      const VecI packed = _mm256_permute4x64_epi64(load_bits(tile + kGroups + i / 2), 0xD8);
      const VecI low = _mm256_shuffle_epi8(table, iand(packed, nibble));
      const VecI high = _mm256_shuffle_epi8(table, iand(_mm256_srli_epi16(packed, 4), nibble));
      store_bits(codes + i, _mm256_unpacklo_epi8(low, high));
      store_bits(codes + i + 32, _mm256_unpackhi_epi8(low, high));
    }
  }
}

/// One tile ready to be multiplied: weights without their shared exponents.
template <DataType D>
class Weights {
 public:
  static constexpr bool kSharesExponents = is_block_float(D);

  void read(const std::byte* tile) {
    if constexpr (kSharesExponents) {
      read_codes<D>(tile, codes_);
    } else {
      tile_ = tile;
    }
  }
  /// The face of rows 16 * kface .. of a half.
  const std::byte* face(std::int64_t kface, std::int64_t half) const {
    const std::byte* const first = kSharesExponents ? codes_ : tile_;
    return first + (kface * kHalves + half) * kFaceHeight * kRowBytes;
  }
  /// Eight columns of a row of a face.
  static Vec part(const std::byte* face, std::int64_t row, std::int64_t part) {
    const std::byte* const first = face + row * kRowBytes + part * kRowBytes / kParts;
    if constexpr (kSharesExponents) {
      return to_float(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(first))));
    } else {
      return from_bits(shift_left<16>(load_u16(first)));
    }
  }

 private:
  static constexpr std::int64_t kRowBytes = kSharesExponents ? kFaceWidth : 2 * kFaceWidth;

  union {
    const std::byte* tile_;
    alignas(32) std::byte codes_[kTileElements];
  };
};

/// Shared exponents with which scaling an activation gives the same products as scaling the weight: neither leaves the
/// normal numbers, for any activation of some rows.
class SafeExponents {
 public:
  /// Those that scale any weight exactly.
  SafeExponents() : SafeExponents(kLowestSafeExponent, kHighestSafeExponent) {}
  SafeExponents(const float* a, std::int64_t a_stride, std::int64_t rows, std::int64_t depth) : SafeExponents() {
    const VecI field = broadcast_int(0x7F800000);
    const VecI one = broadcast_int(1);
    VecI low = broadcast_int(-1); // of exponent - 1 without signs, so that zero is the largest
    VecI high = broadcast_int(0);
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t k = 0; k < depth; k += kLanes) {
        const VecI exponent = iand(bits(load(a + row * a_stride + k)), field);
        low = _mm256_min_epu32(low, isub(exponent, one));
        high = imax(high, exponent);
      }
    }
    // The exponent field of the product with 2^(e - 133) must lie in 1 .. 254.
    const int smallest = 512 - reduce_imax(isub(broadcast_int(511), shift_right<23>(low))); // 512 if all are zero
    const int largest = reduce_imax(high) >> 23;
    set(larger(kLowestSafeExponent, 134 - smallest), smaller(kHighestSafeExponent, 387 - largest));
  }

  /// True if all shared exponents of a tile are safe. 0 is: it means zeros, and so does its factor.
  bool contain(const std::byte* tile) const { return contain(load_bits(tile)) && contain(load_bits(tile + 32)); }

 private:
  SafeExponents(std::int64_t least, std::int64_t most) { set(least, most); }

  static std::int64_t larger(std::int64_t a, std::int64_t b) { return a < b ? b : a; }
  void set(std::int64_t least, std::int64_t most) {
    least_ = _mm256_set1_epi8(static_cast<char>(least));
    range_ = _mm256_set1_epi8(static_cast<char>(larger(most - least, 0)));
  }
  bool contain(VecI exponents) const {
    const VecI above = _mm256_sub_epi8(exponents, least_);
    const VecI inside = _mm256_cmpeq_epi8(_mm256_max_epu8(above, range_), range_);
    const VecI zero = _mm256_cmpeq_epi8(exponents, _mm256_setzero_si256());
    return _mm256_movemask_epi8(ior(inside, zero)) == -1;
  }

  VecI least_;
  VecI range_;
};

/// The factors of the rows of a tile, in the order of the activations. REQUIRES: safe exponents.
class Factors {
 public:
  explicit Factors(const std::byte* tile) {
    const VecI swap = _mm256_broadcastsi128_si256(_mm_setr_epi8(1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
#pragma GCC unroll 2
    for (std::int64_t g = 0; g < kGroups; g += 32) {
      const VecI exponents = _mm256_shuffle_epi8(load_bits(tile + g), swap);
      store_bits(fields_ + g, _mm256_subs_epu8(exponents, _mm256_set1_epi8(kLowestSafeExponent - 1)));
    }
  }
  /// Those of eight rows from k on in one half.
  Vec of_rows(std::int64_t k, std::int64_t half) const {
    return from_bits(shift_left<23>(load_u8(fields_ + group_index(k, half))));
  }

 private:
  alignas(32) std::byte fields_[kGroups]; ///< exponent fields of floats
};

/// Widens a tile to 32 rows of 32 floats in the order of the activations.
template <DataType D>
[[gnu::noinline]] void widen(const std::byte* tile, float* panel) {
  alignas(32) float scales[kHalves][kTileHeight];
  if constexpr (is_block_float(D)) {
    if (!SafeExponents().contain(tile)) return widen_tile<D, Order::PAIRS>(tile, panel);
    const Factors factors(tile);
    for (std::int64_t half = 0; half < kHalves; ++half) {
      for (std::int64_t k = 0; k < kTileHeight; k += kLanes) store(scales[half] + k, factors.of_rows(k, half));
    }
  }
  Weights<D> weights;
  weights.read(tile);
  for (std::int64_t kface = 0; kface < 2; ++kface) {
#pragma GCC unroll 2
    for (std::int64_t half = 0; half < kHalves; ++half) {
      const std::byte* const face = weights.face(kface, half);
      float* const out = panel + kface * kFaceHeight * kTileWidth + half * kFaceWidth;
#pragma GCC unroll 4
      for (std::int64_t r = 0; r < kFaceHeight; ++r) {
#pragma GCC unroll 2
        for (std::int64_t v = 0; v < kParts; ++v) {
          Vec part = Weights<D>::part(face, r ^ 1, v);
          if constexpr (is_block_float(D)) part = mul(part, broadcast(scales[half][kface * kFaceHeight + r]));
          store(out + r * kTileWidth + v * kLanes, part);
        }
      }
    }
  }
}

/// Activations of one tile, rows of them for each half: scaled where weights share exponents.
struct Activations {
  const float* of_half[kHalves];
  std::int64_t stride;
};

/// out[kRows, 16] += activations * weights for kUnits halves of tiles, which begin with `first_half` of the first tile.
/// Rows of the out of a tile are 32 apart, tiles `out_step`.
template <DataType D, int kRows, int kUnits>
[[gnu::always_inline]] inline void add_halves(const Activations* a, const Weights<D>* weights, std::int64_t first_half,
                                              std::int64_t row, float* out, std::int64_t out_step) {
  const std::int64_t stride = Weights<D>::kSharesExponents ? kTileHeight : a[0].stride;
  Vec sum[kUnits][kRows][kParts];
  const auto for_each_sum = [&](const auto& body) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int u = 0; u < kUnits; ++u) {
      const std::int64_t half = (first_half + u) % kHalves;
      float* const of_unit = out + (first_half + u) / kHalves * out_step + half * kFaceWidth;
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
        for (int v = 0; v < kParts; ++v) body(sum[u][i][v], of_unit + (row + i) * kTileWidth + v * kLanes);
      }
    }
  };
  for_each_sum([](Vec & value, const float* from) __attribute__((always_inline)) { value = load(from); });
  for (std::int64_t kface = 0; kface < 2; ++kface) {
    const std::byte* face[kUnits];
    const float* values[kUnits];
#pragma GCC unroll 4
    for (int u = 0; u < kUnits; ++u) {
      const std::int64_t half = (first_half + u) % kHalves;
      const std::int64_t tile = (first_half + u) / kHalves;
      face[u] = weights[tile].face(kface, half);
      values[u] = a[tile].of_half[half] + row * stride + kface * kFaceHeight;
    }
    for (std::int64_t pair = 0; pair < kFaceHeight; pair += 2) {
#pragma GCC unroll 2
      for (std::int64_t step = 0; step < 2; ++step) {
#pragma GCC unroll 4
        for (int u = 0; u < kUnits; ++u) {
          const Vec left = Weights<D>::part(face[u], pair + (step ^ 1), 0);
          const Vec right = Weights<D>::part(face[u], pair + (step ^ 1), 1);
#pragma GCC unroll 8
          for (int i = 0; i < kRows; ++i) {
            const Vec value = broadcast(values[u][i * stride + pair + step]);
            sum[u][i][0] = fma(value, left, sum[u][i][0]);
            sum[u][i][1] = fma(value, right, sum[u][i][1]);
          }
        }
      }
    }
  }
  for_each_sum([](const Vec& value, float* to) __attribute__((always_inline)) { store(to, value); });
}

/// out[m, 32] += activations * one tile. Two rows take both halves together; of more, the sums of one fill the
/// registers.
template <DataType D>
inline void add_rows(const Activations& a, const Weights<D>& weights, std::int64_t m, float* out) {
  constexpr std::int64_t kRowsOfTile = 6;
  if (m <= 3) {
    return with_rows<3>(m,
                        [&](auto rows) { add_halves<D, decltype(rows)::value, kHalves>(&a, &weights, 0, 0, out, 0); });
  }
  const std::int64_t shares = (m + kRowsOfTile - 1) / kRowsOfTile;
  for (std::int64_t half = 0; half < kHalves; ++half) {
    for (std::int64_t share = 0, row = 0; share < shares; ++share) {
      const std::int64_t rows = (m - row + shares - share - 1) / (shares - share);
      with_rows<kRowsOfTile>(
          rows, [&](auto count) { add_halves<D, decltype(count)::value, 1>(&a, &weights, half, row, out, 0); });
      row += rows;
    }
  }
}

/// Rows that stream. More are worth a panel of widened weights.
constexpr std::int64_t kFewRows = 8;

/// out[m, 32] += a * one tile, whatever its exponents.
template <DataType D>
[[gnu::noinline]] void add_tile(const float* a, std::int64_t a_stride, std::int64_t m, const std::byte* tile,
                                float* out) {
  alignas(32) float panel[kTileElements];
  widen<D>(tile, panel);
  add_panel(a, a_stride, m, kTileHeight, panel, true, out);
}

/// Few rows: weights go from memory to the sums. The shared exponents go to the activations, 8 of which one instruction
/// scales, where they would cost one for each 8 weights. A pair of columns together, since a sum alone waits for its
/// own last step.
template <DataType D, int kColumns>
void stream(const float* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth, TileRun run,
            const SafeExponents& safe, float* out) {
  const std::int64_t out_step = m * kTileWidth;
  for (std::int64_t i = 0; i < kColumns * out_step; i += kLanes) store(out + i, zero());
  Weights<D> weights[kColumns];
  alignas(32) float scaled[kColumns][kHalves][kFewRows][kTileHeight];
  Activations activations[kColumns];
  for (std::int64_t start = 0; start < depth; start += kTileHeight, run.first += run.step) {
    bool exact = true;
#pragma GCC unroll 2
    for (int c = 0; c < kColumns; ++c) {
      const std::byte* const tile = run.first + c * Format<D>::kTileBytes;
      for (std::int64_t line = 0; line < Format<D>::kTileBytes; line += 64)
        _mm_prefetch(reinterpret_cast<const char*>(tile + kPrefetchBytes + line), _MM_HINT_T0);
      weights[c].read(tile);
      activations[c] = {{a + start, a + start}, a_stride};
      if constexpr (is_block_float(D)) {
        exact = exact && safe.contain(tile);
        const Factors factors(tile);
#pragma GCC unroll 2
        for (std::int64_t half = 0; half < kHalves; ++half) {
#pragma GCC unroll 4
          for (std::int64_t k = 0; k < kTileHeight; k += kLanes) {
            const Vec of_rows = factors.of_rows(k, half);
            for (std::int64_t row = 0; row < m; ++row)
              store(scaled[c][half][row] + k, mul(load(a + row * a_stride + start + k), of_rows));
          }
          activations[c].of_half[half] = scaled[c][half][0];
        }
      }
    }
    if (!exact) {
      for (int c = 0; c < kColumns; ++c)
        add_tile<D>(a + start, a_stride, m, run.first + c * Format<D>::kTileBytes, out + c * out_step);
    } else if (m == 1) {
      add_halves<D, 1, kColumns * kHalves>(activations, weights, 0, 0, out, out_step);
    } else {
#pragma GCC unroll 2
      for (int c = 0; c < kColumns; ++c) add_rows<D>(activations[c], weights[c], m, out + c * out_step);
    }
  }
}

/// Many rows: a panel of weights is widened once and stays in the level 1 cache while all rows pass.
template <DataType D>
void multiply_many(const float* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth, TileRun run, float* out) {
  alignas(32) float panel[kPanelDepth * kTileWidth];
  for (std::int64_t start = 0; start < depth; start += kPanelDepth) {
    const std::int64_t steps = smaller(kPanelDepth, depth - start);
    for (std::int64_t k = 0; k < steps; k += kTileHeight, run.first += run.step)
      widen<D>(run.first, panel + k * kTileWidth);
    // The weights of the next panel arrive while this one is in use.
    for (std::int64_t tile = 0; tile < kPanelDepth / kTileHeight; ++tile)
      prefetch_range(run.from(tile).first, Format<D>::kTileBytes);
    add_panel(a + start, a_stride, m, steps, panel, start > 0, out);
  }
}

template <DataType D>
void multiply(const float* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth, const ConstTiles& w,
              std::int64_t first_column, std::int64_t columns, float* out) {
  const auto run_of = [&](std::int64_t column) {
    return TileRun{w.data + tile_position(w.tile_rows, w.tile_columns, 0, column) * Format<D>::kTileBytes,
                   tile_step(w.tile_columns, column) * Format<D>::kTileBytes};
  };
  if (m > kFewRows) {
    for (std::int64_t c = 0; c < columns; ++c)
      multiply_many<D>(a, a_stride, m, depth, run_of(first_column + c), out + c * m * kTileWidth);
    return;
  }
  const SafeExponents safe(a, a_stride, m, depth);
  for (std::int64_t c = 0; c < columns;) {
    const std::int64_t column = first_column + c;
    float* const sums = out + c * m * kTileWidth;
    if (column % kPair == 0 && c + 1 < columns) {
      stream<D, kPair>(a, a_stride, m, depth, run_of(column), safe, sums);
      c += kPair;
    } else {
      stream<D, 1>(a, a_stride, m, depth, run_of(column), safe, sums);
      c += 1;
    }
  }
}

} // namespace

void pack_bf16(const float* x, std::int64_t count, std::byte* out) noexcept {
  auto* const swapped = reinterpret_cast<float*>(out);
  for (std::int64_t k = 0; k < count; ++k) swapped[k ^ 1] = x[k];
}

void matmul_bf16_tile_columns(const std::byte* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth,
                              const ConstTiles& w, std::int64_t first_column, std::int64_t columns,
                              float* out) noexcept {
  if (m <= 0) return;
  const MultiplyMode mode;
  const auto* const values = reinterpret_cast<const float*>(a);
  const std::int64_t stride = a_stride / static_cast<std::int64_t>(sizeof(float));
  switch (w.dtype) {
    case DataType::BFLOAT8_B:
      return multiply<DataType::BFLOAT8_B>(values, stride, m, depth, w, first_column, columns, out);
    case DataType::BFLOAT4_B:
      return multiply<DataType::BFLOAT4_B>(values, stride, m, depth, w, first_column, columns, out);
    default:
      return multiply<DataType::BFLOAT16>(values, stride, m, depth, w, first_column, columns, out);
  }
}

} // namespace tessera::kernels::avx2
