
#include <algorithm>
#include <array>

#include "tessera/kernels/avx512/vec.hpp"
#include "tessera/kernels/isa.hpp"
#include "tessera/spec/tile.hpp"

// bfloat16 activations times a column of weight tiles, on vdpbf16ps: two steps of k at a time, fp32 sums.
//
// vdpbf16ps adds the product of the odd element first and that of the even one after it, each with one rounding and
// with denormals as zero: the order and the arithmetic of the contract in kernels.hpp (2 million random vectors showed
// no difference from that chain of fused multiply-adds).

namespace tessera::kernels::avx512 {
namespace {

constexpr short kExponentField = 0x7F80; ///< of a bfloat16
constexpr std::int64_t kPairsOfTile = kTileHeight / 2;
constexpr std::int64_t kHalves = kTileWidth / kFaceWidth; ///< vectors across a tile: 16 columns of fp32
constexpr std::int64_t kExponentBytes = kTileElements / kFaceWidth;

/// Pairs of rows of weights: lane j holds (w(2i, j), w(2i + 1, j)).
struct Quad {
  __m512i first;  ///< rows 0 and 1 of four
  __m512i second; ///< rows 2 and 3
};

/// From bytes that hold one value of four rows of 16 each, low bytes and high bytes of bfloat16, to pairs of rows.
inline Quad pair_up(__m512i low, __m512i high) {
  alignas(64) static constexpr auto kIndex = [] {
    std::array<std::array<std::uint8_t, 64>, 2> index{};
    for (std::size_t pair = 0; pair < 2; ++pair) {
      for (std::size_t column = 0; column < 16; ++column) {
        for (std::size_t row = 0; row < 2; ++row) {
          const std::size_t source = (2 * pair + row) * 16 + column;
          index[pair][4 * column + 2 * row] = static_cast<std::uint8_t>(source);          // from low
          index[pair][4 * column + 2 * row + 1] = static_cast<std::uint8_t>(64 + source); // from high
        }
      }
    }
    return index;
  }();
  return {_mm512_permutex2var_epi8(low, _mm512_load_si512(kIndex[0].data()), high),
          _mm512_permutex2var_epi8(low, _mm512_load_si512(kIndex[1].data()), high)};
}

/// bfloat16 bits of magnitude / 2^(bits - 1) for each magnitude of a block format, split in low and high bytes. A
/// shared exponent of 127 needs no more; another is added to the exponent field of what is not zero.
template <int kMagnitudeBits>
struct CodeTable {
  alignas(64) std::array<std::uint8_t, std::size_t{1} << kMagnitudeBits> low{};
  alignas(64) std::array<std::uint8_t, std::size_t{1} << kMagnitudeBits> high{};

  constexpr CodeTable() {
    for (unsigned magnitude = 1; magnitude < low.size(); ++magnitude) {
      unsigned top = kMagnitudeBits - 1;
      while ((magnitude >> top) == 0) --top;
      const unsigned exponent = 127 - (kMagnitudeBits - 1) + top;
      const unsigned bits = exponent << 7 | ((magnitude << (7 - top)) & 0x7F);
      low[magnitude] = static_cast<std::uint8_t>(bits & 0xFF);
      high[magnitude] = static_cast<std::uint8_t>(bits >> 8);
    }
  }
};

template <DataType D>
struct Weights;

template <>
struct Weights<DataType::BFLOAT8_B> {
  static constexpr bool kSharesExponents = true;

  /// Rows 4 q .. 4 q + 3 of a face, as if its exponents were 127.
  static Quad quad(const std::byte* face, std::int64_t q) {
    static constexpr CodeTable<7> kTable;
    const __m512i codes = _mm512_loadu_si512(face + 64 * q);
    // The look-up takes the low seven bits as index: the magnitude. The sign goes to the top of the high byte.
    const __m512i low = _mm512_permutex2var_epi8(_mm512_load_si512(kTable.low.data()), codes,
                                                 _mm512_load_si512(kTable.low.data() + 64));
    const __m512i high = _mm512_permutex2var_epi8(_mm512_load_si512(kTable.high.data()), codes,
                                                  _mm512_load_si512(kTable.high.data() + 64));
    constexpr int kOrOfMasked = 0xF8; // high | (codes & sign)
    return pair_up(low, _mm512_ternarylogic_epi32(high, codes, _mm512_set1_epi8(static_cast<char>(0x80)), kOrOfMasked));
  }
  static constexpr std::int64_t kFaceBytes = 256;
};

/// The sixteen codes of BFLOAT4_B, signs and all: low or high bytes of their bfloat16.
constexpr std::array<std::uint8_t, 16> signed_codes(bool high) {
  const CodeTable<3> table;
  std::array<std::uint8_t, 16> codes{};
  for (std::size_t code = 0; code < 16; ++code) {
    const std::size_t magnitude = code & 7;
    codes[code] =
        high ? static_cast<std::uint8_t>(table.high[magnitude] | (code >= 8 ? 0x80 : 0)) : table.low[magnitude];
  }
  return codes;
}

template <>
struct Weights<DataType::BFLOAT4_B> {
  static constexpr bool kSharesExponents = true;

  static Quad quad(const std::byte* face, std::int64_t q) {
    // Sixteen codes, the sign in bit 3: one look-up gives all of the high byte.
    alignas(16) static constexpr auto kLow = signed_codes(false);
    alignas(16) static constexpr auto kHigh = signed_codes(true);
    const __m512i bytes = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(face + 32 * q)));
    // Two codes a byte become a byte each, the low nibble first.
    const __m512i codes = _mm512_and_si512(_mm512_or_si512(bytes, _mm512_slli_epi16(bytes, 4)), _mm512_set1_epi8(0x0F));
    const auto look_up = [&](const auto& table) {
      return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(table.data()))),
                                 codes);
    };
    return pair_up(look_up(kLow), look_up(kHigh));
  }
  static constexpr std::int64_t kFaceBytes = 128;
};

template <>
struct Weights<DataType::BFLOAT16> {
  static constexpr bool kSharesExponents = false;

  static Quad quad(const std::byte* face, std::int64_t q) {
    alignas(64) static constexpr auto kIndex = [] {
      std::array<std::uint16_t, 32> index{};
      for (std::size_t lane = 0; lane < 32; ++lane) index[lane] = static_cast<std::uint16_t>(lane / 2 + lane % 2 * 16);
      return index;
    }();
    const __m512i order = _mm512_load_si512(kIndex.data());
    return {_mm512_permutexvar_epi16(order, _mm512_loadu_si512(face + 128 * q)),
            _mm512_permutexvar_epi16(order, _mm512_loadu_si512(face + 128 * q + 64))};
  }
  static constexpr std::int64_t kFaceBytes = 512;
};

/// Face of rows 16 * kface .. in columns 16 * half .. of a tile.
template <DataType D>
inline const std::byte* face_of(const std::byte* tile, std::int64_t kface, std::int64_t half) {
  return tile + (Weights<D>::kSharesExponents ? kExponentBytes : 0) + (2 * kface + half) * Weights<D>::kFaceBytes;
}

/// A column of tiles: the first tile and the bytes from one to the next.
template <DataType D>
struct Column {
  const std::byte* first;
  std::int64_t step;

  Column(const ConstTiles& w, std::int64_t column)
      : first(w.data + tile_position(w.tile_rows, w.tile_columns, 0, column) * tile_bytes(D)),
        step(tile_step(w.tile_columns, column) * tile_bytes(D)) {}
};

/// What the shared exponents of the 32 rows of one half add to a bfloat16's exponent field: (exponent - 127) << 7 each.
inline __m512i exponent_steps(const std::byte* tile, std::int64_t half) {
  const __m128i upper = _mm_loadu_si128(reinterpret_cast<const __m128i*>(tile + half * kFaceHeight));
  const __m128i lower = _mm_loadu_si128(reinterpret_cast<const __m128i*>(tile + (2 + half) * kFaceHeight));
  const __m512i exponents = _mm512_cvtepu8_epi16(_mm256_set_m128i(lower, upper));
  return _mm512_slli_epi16(_mm512_sub_epi16(exponents, _mm512_set1_epi16(127)), 7);
}

/// Adds to the exponent field of what is not zero. Denormals stay what they are, which the products take as zero.
inline __m512i scale(__m512i values, __m512i steps) {
  return _mm512_mask_add_epi16(values, _mm512_test_epi16_mask(values, _mm512_set1_epi16(kExponentField)), values,
                               steps);
}

inline __m512 dot(__m512 sum, __m512i weights, const std::uint16_t* pair) {
  std::int32_t bits;
  __builtin_memcpy(&bits, pair, sizeof bits);
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(_mm512_set1_epi32(bits)),
                          reinterpret_cast<__m512bh>(weights));
}

/// Shared exponents below this can take a value of the widest format below the normal numbers.
constexpr int kLowestSafeExponent = 7;

/// True if no weight of these shared exponents is a denormal, which would have to count as zero.
inline bool weights_are_normal(__m512i steps) {
  return _mm512_cmplt_epi16_mask(steps, _mm512_set1_epi16((kLowestSafeExponent - 127) * 128)) == 0;
}

/// The same where exponents may be so low that a value falls out of the normal numbers: those become zero.
inline __m512i scale_to_zero(__m512i values, __m512i steps) {
  const __m512i exponent = _mm512_srli_epi16(_mm512_and_si512(values, _mm512_set1_epi16(kExponentField)), 7);
  const __m512i scaled = _mm512_add_epi16(exponent, _mm512_srai_epi16(steps, 7));
  const __mmask32 nonzero = _mm512_test_epi16_mask(values, _mm512_set1_epi16(kExponentField));
  return _mm512_maskz_add_epi16(nonzero & _mm512_cmpgt_epi16_mask(scaled, _mm512_setzero_si512()), values, steps);
}

/// One tile as pairs, exponents and all: [16 pairs][2 halves][16 lanes][2].
template <DataType D>
inline void decode_tile(const std::byte* tile, __m512i* panel) {
#pragma GCC unroll 2
  for (std::int64_t half = 0; half < kHalves; ++half) {
    alignas(64) std::int32_t steps[kPairsOfTile];
    bool safe = true;
    if constexpr (Weights<D>::kSharesExponents) {
      const __m512i of_half = exponent_steps(tile, half);
      safe = weights_are_normal(of_half);
      _mm512_store_si512(steps, of_half);
    }
    for (std::int64_t kface = 0; kface < 2; ++kface) {
#pragma GCC unroll 4
      for (std::int64_t q = 0; q < 4; ++q) {
        Quad quad = Weights<D>::quad(face_of<D>(tile, kface, half), q);
        const std::int64_t pair = kface * 8 + 2 * q;
        if constexpr (Weights<D>::kSharesExponents) {
          const __m512i first = _mm512_set1_epi32(steps[pair]);
          const __m512i second = _mm512_set1_epi32(steps[pair + 1]);
          quad.first = safe ? scale(quad.first, first) : scale_to_zero(quad.first, first);
          quad.second = safe ? scale(quad.second, second) : scale_to_zero(quad.second, second);
        }
        _mm512_store_si512(panel + pair * kHalves + half, quad.first);
        _mm512_store_si512(panel + (pair + 1) * kHalves + half, quad.second);
      }
    }
  }
}

/// Shared exponents with which scaling an activation gives the same products as scaling the weight: neither leaves the
/// normal numbers, for any activation of some rows.
struct SafeExponents {
  __m512i least;
  __m512i most;

  SafeExponents(const std::uint16_t* a, std::int64_t a_stride, std::int64_t rows, std::int64_t depth) {
    const __m512i field = _mm512_set1_epi16(kExponentField);
    __m512i low = field;
    __m512i high = _mm512_setzero_si512();
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t k = 0; k < depth; k += kTileHeight) {
        const __m512i exponent = _mm512_and_si512(_mm512_loadu_si512(a + row * a_stride + k), field);
        low = _mm512_mask_min_epu16(low, _mm512_test_epi16_mask(exponent, exponent), low, exponent);
        high = _mm512_max_epu16(high, exponent);
      }
    }
    // Weights lie within 2^-6 .. 2 before scaling: stay clear of both ends by as much.
    const int least_exponent = std::max(kLowestSafeExponent, 10 + 127 - smallest(low));
    // No exponent is safe for Inf and NaN.
    const int most_exponent = largest(high) == 255 ? 0 : std::max(0, 250 + 127 - largest(high));
    least = _mm512_set1_epi8(static_cast<char>(std::min(least_exponent, 255)));
    most = _mm512_set1_epi8(static_cast<char>(std::min(most_exponent, 255)));
  }

  bool contain(const std::byte* tile) const {
    const __m512i exponents = _mm512_loadu_si512(tile);
    return (_mm512_cmplt_epu8_mask(exponents, least) | _mm512_cmpgt_epu8_mask(exponents, most)) == 0;
  }

 private:
  static int smallest(__m512i fields) {
    return _mm512_reduce_min_epi32(_mm512_min_epi32(even(fields), odd(fields))) >> 7;
  }
  static int largest(__m512i fields) {
    return _mm512_reduce_max_epi32(_mm512_max_epi32(even(fields), odd(fields))) >> 7;
  }
  static __m512i even(__m512i fields) { return _mm512_and_si512(fields, _mm512_set1_epi32(0xFFFF)); }
  static __m512i odd(__m512i fields) { return _mm512_srli_epi32(fields, 16); }
};

/// Few rows: each weight is decoded once, in registers. The shared exponents go to the activations, 32 of which one
/// instruction scales, where they would cost one for each 32 weights. A pair of columns together, since a sum alone
/// waits for its own last step; their tiles follow each other, left and right in turn.
template <DataType D, int kRows, int kColumns>
void stream(const std::uint16_t* a, std::int64_t a_stride, std::int64_t depth, const std::byte* tiles,
            const SafeExponents& safe, float* out) {
  constexpr std::int64_t kTileBytes = tile_bytes(D);
  // Measured on an EPYC of family 1Ah: the block formats gain a third by it, for BFLOAT16 the hardware's own is better.
  constexpr std::int64_t kPrefetch = Weights<D>::kSharesExponents ? 4096 : 0;
  __m512 sum[kColumns][kRows][kHalves];
  for (auto& of_column : sum) {
    for (auto& row : of_column) {
      for (__m512& value : row) value = _mm512_setzero_ps();
    }
  }
  alignas(64) std::uint16_t scaled[kColumns][kRows][kHalves][kTileHeight];
  for (std::int64_t start = 0; start < depth; start += kTileHeight, tiles += kColumns * kTileBytes) {
    bool exact = true;
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) {
      const std::byte* tile = tiles + c * kTileBytes;
      for (std::int64_t line = 0; kPrefetch > 0 && line < kTileBytes; line += 64)
        _mm_prefetch(reinterpret_cast<const char*>(tile + kPrefetch + line), _MM_HINT_NTA);
      if constexpr (Weights<D>::kSharesExponents) {
        exact = exact && safe.contain(tile);
#pragma GCC unroll 2
        for (std::int64_t half = 0; half < kHalves; ++half) {
          const __m512i steps = exponent_steps(tile, half);
#pragma GCC unroll 4
          for (int row = 0; row < kRows; ++row) {
            _mm512_store_si512(scaled[c][row][half], scale(_mm512_loadu_si512(a + row * a_stride + start), steps));
          }
        }
      }
    }
    if (exact) {
      for (std::int64_t kface = 0; kface < 2; ++kface) {
#pragma GCC unroll 4
        for (std::int64_t q = 0; q < 4; ++q) {
          const std::int64_t k = kface * kFaceHeight + 4 * q;
#pragma GCC unroll 4
          for (int c = 0; c < kColumns; ++c) {
#pragma GCC unroll 2
            for (std::int64_t half = 0; half < kHalves; ++half) {
              const Quad weights = Weights<D>::quad(face_of<D>(tiles + c * kTileBytes, kface, half), q);
#pragma GCC unroll 4
              for (int row = 0; row < kRows; ++row) {
                const std::uint16_t* values =
                    Weights<D>::kSharesExponents ? scaled[c][row][half] + k : a + row * a_stride + start + k;
                sum[c][row][half] = dot(sum[c][row][half], weights.first, values);
                sum[c][row][half] = dot(sum[c][row][half], weights.second, values + 2);
              }
            }
          }
        }
      }
    } else {
      alignas(64) __m512i panel[kPairsOfTile * kHalves];
      for (int c = 0; c < kColumns; ++c) {
        decode_tile<D>(tiles + c * kTileBytes, panel);
        for (std::int64_t pair = 0; pair < kPairsOfTile; ++pair) {
          for (int row = 0; row < kRows; ++row) {
            for (std::int64_t half = 0; half < kHalves; ++half) {
              sum[c][row][half] =
                  dot(sum[c][row][half], panel[pair * kHalves + half], a + row * a_stride + start + 2 * pair);
            }
          }
        }
      }
    }
  }
  for (int c = 0; c < kColumns; ++c) {
    for (int row = 0; row < kRows; ++row) {
      for (std::int64_t half = 0; half < kHalves; ++half)
        _mm512_storeu_ps(out + (c * kRows + row) * kTileWidth + half * kFaceWidth, sum[c][row][half]);
    }
  }
}

// Depth of the weights decoded at a time for many rows: 256 rows of 32 bfloat16 are 16 KiB, half of a level 1 cache of
// 32 KiB, beside the activations that stream through it.
constexpr std::int64_t kPanelDepth = 256;

/// The weights that come next, fetched a few lines at a time between products: all at once would stall on memory, which
/// a decode step of 32 users has time to hide.
template <DataType D>
class Ahead {
 public:
  explicit Ahead(const Column<D>& column) : line_(column.first), step_(column.step) {}

  void fetch() {
    for (int i = 0; i < kLines && left_ > 0; ++i, --left_) {
      _mm_prefetch(reinterpret_cast<const char*>(line_), _MM_HINT_T1);
      line_ += 64;
      in_tile_ += 64;
      if (in_tile_ >= tile_bytes(D)) {
        line_ += step_ - in_tile_;
        in_tile_ = 0;
      }
    }
  }

 private:
  static constexpr int kLines = 8;

  const std::byte* line_;
  std::int64_t step_;
  std::int64_t in_tile_ = 0;
  std::int64_t left_ = kPanelDepth / kTileHeight * ((tile_bytes(D) + 63) / 64);
};

/// kRows rows times a panel; the sums so far stand in out.
template <int kRows, DataType D>
void multiply_panel(const std::uint16_t* a, std::int64_t a_stride, const __m512i* panel, std::int64_t pairs, bool first,
                    Ahead<D>& ahead, float* out) {
  __m512 sum[kRows][kHalves];
#pragma GCC unroll 12
  for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 2
    for (std::int64_t half = 0; half < kHalves; ++half) {
      sum[row][half] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(out + row * kTileWidth + half * kFaceWidth);
    }
  }
  for (std::int64_t start = 0; start < pairs; start += kPairsOfTile / 2) {
    ahead.fetch();
    for (std::int64_t pair = start; pair < start + kPairsOfTile / 2; ++pair) {
      const __m512i left = panel[2 * pair];
      const __m512i right = panel[2 * pair + 1];
#pragma GCC unroll 12
      for (int row = 0; row < kRows; ++row) {
        sum[row][0] = dot(sum[row][0], left, a + row * a_stride + 2 * pair);
        sum[row][1] = dot(sum[row][1], right, a + row * a_stride + 2 * pair);
      }
    }
  }
#pragma GCC unroll 12
  for (int row = 0; row < kRows; ++row) {
#pragma GCC unroll 2
    for (std::int64_t half = 0; half < kHalves; ++half)
      _mm512_storeu_ps(out + row * kTileWidth + half * kFaceWidth, sum[row][half]);
  }
}

// Rows of a register tile: 12 rows of two vectors are 24 sums, beside two vectors of weights, of 32 registers.
constexpr int kRowsOfTile = 12;

template <int kRows, DataType D>
void multiply_rest(std::int64_t rows, const std::uint16_t* a, std::int64_t a_stride, const __m512i* panel,
                   std::int64_t pairs, bool first, Ahead<D>& ahead, float* out) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return multiply_panel<kRows>(a, a_stride, panel, pairs, first, ahead, out);
    multiply_rest<kRows - 1>(rows, a, a_stride, panel, pairs, first, ahead, out);
  }
}

template <DataType D>
void multiply_many(const std::uint16_t* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth, Column<D> column,
                   float* out) {
  alignas(64) __m512i panel[kPanelDepth / 2 * kHalves];
  for (std::int64_t start = 0; start < depth; start += kPanelDepth) {
    const std::int64_t steps = std::min(kPanelDepth, depth - start);
    for (std::int64_t k = 0; k < steps; k += kTileHeight, column.first += column.step)
      decode_tile<D>(column.first, panel + k / 2 * kHalves);
    Ahead<D> ahead(column);
    // Even shares: 32 rows as 11 + 11 + 10, not 12 + 12 + 8.
    const std::int64_t shares = (m + kRowsOfTile - 1) / kRowsOfTile;
    for (std::int64_t share = 0, row = 0; share < shares; ++share) {
      const std::int64_t rows = (m - row + shares - share - 1) / (shares - share);
      multiply_rest<kRowsOfTile>(rows, a + row * a_stride + start, a_stride, panel, steps / 2, start == 0, ahead,
                                 out + row * kTileWidth);
      row += rows;
    }
  }
}

template <DataType D, int kRows>
void stream_columns(const std::uint16_t* a, std::int64_t a_stride, std::int64_t depth, const ConstTiles& w,
                    std::int64_t first_column, std::int64_t columns, float* out) {
  const SafeExponents safe(a, a_stride, kRows, depth);
  for (std::int64_t c = 0; c < columns;) {
    const std::int64_t column = first_column + c;
    const Column<D> run(w, column);
    float* const sums = out + c * kRows * kTileWidth;
    if (run.step == tile_bytes(D)) {
      stream<D, kRows, 1>(a, a_stride, depth, run.first, safe, sums);
      c += 1;
    } else if (column % 2 == 0 && c + 1 < columns) {
      stream<D, kRows, 2>(a, a_stride, depth, run.first, safe, sums);
      c += 2;
    } else {
      multiply_many<D>(a, a_stride, kRows, depth, run, sums);
      c += 1;
    }
  }
}

template <DataType D>
void multiply(const std::uint16_t* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth, const ConstTiles& w,
              std::int64_t first_column, std::int64_t columns, float* out) {
  switch (m) {
    case 1:
      return stream_columns<D, 1>(a, a_stride, depth, w, first_column, columns, out);
    case 2:
      return stream_columns<D, 2>(a, a_stride, depth, w, first_column, columns, out);
    case 3:
      return stream_columns<D, 3>(a, a_stride, depth, w, first_column, columns, out);
    case 4:
      return stream_columns<D, 4>(a, a_stride, depth, w, first_column, columns, out);
    default:
      for (std::int64_t c = 0; c < columns; ++c) {
        multiply_many<D>(a, a_stride, m, depth, Column<D>(w, first_column + c), out + c * m * kTileWidth);
      }
  }
}

} // namespace

void pack_bf16(const float* x, std::int64_t count, std::byte* out) noexcept {
  // Exact: the values are bfloat16 values, whose lower halves are zero.
  for (std::int64_t k = 0; k < count; k += 16) {
    const __mmask16 lanes = first_lanes(std::min<std::int64_t>(16, count - k));
    const __m512i bits = _mm512_maskz_loadu_epi32(lanes, x + k);
    _mm512_mask_cvtepi32_storeu_epi16(out + 2 * k, lanes, _mm512_srli_epi32(bits, 16));
  }
}

void matmul_bf16_tile_columns(const std::byte* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth,
                              const ConstTiles& w, std::int64_t first_column, std::int64_t columns,
                              float* out) noexcept {
  if (m <= 0) return;
  const auto* values = reinterpret_cast<const std::uint16_t*>(a);
  const std::int64_t stride = a_stride / static_cast<std::int64_t>(sizeof(std::uint16_t));
  switch (w.dtype) {
    case DataType::BFLOAT8_B:
      return multiply<DataType::BFLOAT8_B>(values, stride, m, depth, w, first_column, columns, out);
    case DataType::BFLOAT4_B:
      return multiply<DataType::BFLOAT4_B>(values, stride, m, depth, w, first_column, columns, out);
    default:
      return multiply<DataType::BFLOAT16>(values, stride, m, depth, w, first_column, columns, out);
  }
}

} // namespace tessera::kernels::avx512
