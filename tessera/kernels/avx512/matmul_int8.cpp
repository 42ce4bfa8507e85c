#include <algorithm>
#include <array>

#include "tessera/kernels/avx512/vec.hpp"
#include "tessera/kernels/isa.hpp"
#include "tessera/spec/tile.hpp"

// LoFi products of 8-bit integers on vpdpbusd: four steps of k at a time, int32 sums, two integer multiply-adds in the
// time of one of bfloat16. The instruction wants one unsigned operand: weights have 128 added, and each sum starts at
// minus 128 times the sum of its activations, which pack_int8 has counted.

namespace tessera::kernels::avx512 {
namespace {

#include "tessera/kernels/generic/int8.inl"

constexpr std::int64_t kHalves = kTileWidth / kFaceWidth;
constexpr std::int64_t kQuads = kTileHeight / 4;
constexpr std::int64_t kEighths = kTileHeight / 8;
constexpr int kOffset = 128;

/// 32 activations of a row. Private to this instruction set.
struct Block {
  std::int8_t integers[kTileHeight];
  std::int32_t start; ///< -128 times their sum
  float scale;
};
static_assert(sizeof(Block) == 40);

/// A tile of weights as integers, 128 added: lane j of quads[i][half] holds rows 4 i to 4 i + 3 of column 16 half + j.
struct WeightTile {
  __m512i quads[kQuads][kHalves];
  /// 1.5 * 2^23 units of the weights' integers: a sum that starts at its bits is a float without conversion.
  std::int32_t base_bits[kHalves];
  float base[kHalves];
};

/// For code | d << 4: the integer of a BFLOAT4_B code whose exponent lies d below the largest.
constexpr std::array<std::uint8_t, 128> integer_table() {
  std::array<std::uint8_t, 128> table{};
  for (int index = 0; index < 128; ++index) {
    const int d = index >> 4;
    table[static_cast<std::size_t>(index)] = kOffset;
    if (d >= kDroppedExponents) continue;
    const int sixteenths = (index & 7) << 4;
    const int half = (1 << d) / 2;
    const int floor = sixteenths >> d;
    const int rest = sixteenths - (floor << d);
    const int magnitude = floor + (rest > half || (d > 0 && rest == half && floor % 2 == 1) ? 1 : 0);
    table[static_cast<std::size_t>(index)] =
        static_cast<std::uint8_t>(kOffset + ((index & 8) != 0 ? -magnitude : magnitude));
  }
  return table;
}

/// Where the codes of four rows of the eight in 64 bytes stand, two columns a byte, in the order of the lanes.
struct CodePlaces {
  alignas(64) std::uint8_t of[2][64];
};
constexpr CodePlaces code_places() {
  CodePlaces places{};
  for (std::size_t quad = 0; quad < 2; ++quad) {
    for (std::size_t i = 0; i < 64; ++i) places.of[quad][i] = static_cast<std::uint8_t>((4 * quad + i % 4) * 8 + i / 8);
  }
  return places;
}

/// The exponents of half a tile.
struct HalfTile {
  std::int32_t base_bits;
  float base;
  alignas(32) std::int32_t steps[kQuads]; ///< of each row: 16 times its distance from the largest exponent, 7 at most

  HalfTile(const std::byte* tile, std::int64_t half) {
    const __m128i upper = _mm_loadu_si128(reinterpret_cast<const __m128i*>(tile + half * kFaceHeight));
    const __m128i lower = _mm_loadu_si128(reinterpret_cast<const __m128i*>(tile + (2 + half) * kFaceHeight));
    __m128i most = _mm_max_epu8(upper, lower);
    most = _mm_max_epu8(most, _mm_srli_si128(most, 8));
    most = _mm_max_epu8(most, _mm_srli_si128(most, 4));
    most = _mm_max_epu8(most, _mm_srli_si128(most, 2));
    most = _mm_broadcastb_epi8(_mm_max_epu8(most, _mm_srli_si128(most, 1)));
    const int exponent = _mm_extract_epi8(most, 0);
    const bool counts = exponent >= kLeastExponent && exponent <= kMostExponent;
    base_bits = ((counts ? exponent : kLeastExponent) + 17) << 23 | 0x400000;
    base = exponent > kMostExponent ? __builtin_nanf("") : float_of(base_bits);
    const __m128i limit = _mm_set1_epi8(kDroppedExponents);
    const auto steps_of = [&](__m128i exponents) {
      return _mm_slli_epi16(counts ? _mm_min_epu8(_mm_subs_epu8(most, exponents), limit) : limit, 4);
    };
    _mm_store_si128(reinterpret_cast<__m128i*>(steps), steps_of(upper));
    _mm_store_si128(reinterpret_cast<__m128i*>(steps + kQuads / 2), steps_of(lower));
  }
};

/// Calls sink(quad, weights) for the integers of half a tile, 128 added. Inlined by force, like `sink`: a sum that a
/// call reaches by reference lives in memory.
template <typename Sink>
[[gnu::always_inline]] inline void for_each_quad(const std::byte* tile, std::int64_t half, const HalfTile& exponents,
                                                 const Sink& sink) {
  alignas(64) static constexpr std::array<std::uint8_t, 128> kTable = integer_table();
  static constexpr CodePlaces kPlaces = code_places();
  const __m512i odd_columns = _mm512_set1_epi64(std::int64_t{4} << 32); // their codes are the high halves of the bytes
#pragma GCC unroll 4
  for (std::int64_t eighth = 0; eighth < kEighths; ++eighth) {
    constexpr std::int64_t kFaceBytes = 128;
    const __m512i codes = _mm512_loadu_si512(tile + 64 + (eighth / 2 * 2 + half) * kFaceBytes + eighth % 2 * 64);
#pragma GCC unroll 2
    for (std::int64_t i = 0; i < 2; ++i) {
      const std::int64_t quad = 2 * eighth + i;
      const __m512i placed = _mm512_permutexvar_epi8(_mm512_load_si512(kPlaces.of[i]), codes);
      constexpr int kAndOr = 0xEA; // (placed & 15) | steps
      const __m512i index = _mm512_ternarylogic_epi32(_mm512_srlv_epi32(placed, odd_columns), _mm512_set1_epi8(0x0F),
                                                      _mm512_set1_epi32(exponents.steps[quad]), kAndOr);
      sink(quad,
           _mm512_permutex2var_epi8(_mm512_load_si512(kTable.data()), index, _mm512_load_si512(kTable.data() + 64)));
    }
  }
}

void decode(const std::byte* tile, WeightTile& out) {
  for (std::int64_t half = 0; half < kHalves; ++half) {
    const HalfTile exponents(tile, half);
    out.base_bits[half] = exponents.base_bits;
    out.base[half] = exponents.base;
    for_each_quad(
        tile, half, exponents, [&](std::int64_t quad, __m512i weights) __attribute__((always_inline)) {
          out.quads[quad][half] = weights;
        });
  }
}

inline __m512i four_activations(const std::int8_t* a) {
  std::int32_t bytes;
  __builtin_memcpy(&bytes, a, sizeof bytes);
  return _mm512_set1_epi32(bytes);
}

/// sum + w * a, four products a lane: w unsigned, a signed. The intrinsic makes GCC 12 copy and spill the sums of a
/// register tile.
inline __m512i add_products(__m512i sum, __m512i w, __m512i a) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(a));
  return sum;
}

/// Row `row` of the activations at a block.
inline const Block& block_of(const std::byte* block, std::int64_t a_stride, std::int64_t row) {
  return *reinterpret_cast<const Block*>(block + row * a_stride);
}

/// out += kRows rows times a tile. Not inlined: across tiles GCC would keep sums in registers that the products need.
template <int kRows>
[[gnu::noinline]] void multiply_tile(const std::byte* block, std::int64_t a_stride, const WeightTile& w, float* out) {
  __m512i sum[kRows][kHalves];
#pragma GCC unroll 12
  for (int row = 0; row < kRows; ++row) {
    const __m512i start = _mm512_set1_epi32(block_of(block, a_stride, row).start);
    sum[row][0] = _mm512_add_epi32(start, _mm512_set1_epi32(w.base_bits[0]));
    sum[row][1] = _mm512_add_epi32(start, _mm512_set1_epi32(w.base_bits[1]));
  }
  for (std::int64_t quad = 0; quad < kQuads; ++quad) {
    const __m512i left = w.quads[quad][0];
    const __m512i right = w.quads[quad][1];
#pragma GCC unroll 12
    for (int row = 0; row < kRows; ++row) {
      const __m512i x = four_activations(block_of(block, a_stride, row).integers + 4 * quad);
      sum[row][0] = add_products(sum[row][0], left, x);
      sum[row][1] = add_products(sum[row][1], right, x);
    }
  }
#pragma GCC unroll 12
  for (int row = 0; row < kRows; ++row) {
    const __m512 scale = _mm512_set1_ps(block_of(block, a_stride, row).scale);
#pragma GCC unroll 2
    for (std::int64_t half = 0; half < kHalves; ++half) {
      float* const at = out + row * kTileWidth + half * kFaceWidth;
      const __m512 value = _mm512_sub_ps(_mm512_castsi512_ps(sum[row][half]), _mm512_set1_ps(w.base[half]));
      _mm512_storeu_ps(at, _mm512_fmadd_ps(value, scale, _mm512_loadu_ps(at)));
    }
  }
}

template <int kRows>
void multiply_tiles(const std::byte* a, std::int64_t a_stride, const WeightTile* weights, std::int64_t tiles,
                    float* out) {
  for (std::int64_t tile = 0; tile < tiles; ++tile)
    multiply_tile<kRows>(a + tile * static_cast<std::int64_t>(sizeof(Block)), a_stride, weights[tile], out);
}

// Rows of a register tile: 12 rows of two vectors are 24 sums, beside two vectors of weights, of 32 registers.
constexpr int kRowsOfTile = 12;

template <int kRows>
void multiply_rest(std::int64_t rows, const std::byte* a, std::int64_t a_stride, const WeightTile* weights,
                   std::int64_t tiles, float* out) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return multiply_tiles<kRows>(a, a_stride, weights, tiles, out);
    multiply_rest<kRows - 1>(rows, a, a_stride, weights, tiles, out);
  }
}

constexpr std::int64_t kTileBytes = tile_bytes(DataType::BFLOAT4_B);

/// Few rows: a pair of columns in one pass over memory, all sums in registers.
template <int kRows, int kColumns>
void stream(const std::byte* a, std::int64_t a_stride, std::int64_t tiles, const std::byte* tile, float* out) {
  constexpr std::int64_t kPrefetch = 4096;
  __m512 total[kColumns][kRows][kHalves];
  for (auto& of_column : total) {
    for (auto& row : of_column) {
      for (__m512& value : row) value = _mm512_setzero_ps();
    }
  }
  for (std::int64_t i = 0; i < tiles; ++i, a += sizeof(Block)) {
#pragma GCC unroll 2
    for (int column = 0; column < kColumns; ++column, tile += kTileBytes) {
      for (std::int64_t line = 0; line < kTileBytes; line += 64)
        _mm_prefetch(reinterpret_cast<const char*>(tile + kPrefetch + line), _MM_HINT_NTA);
#pragma GCC unroll 2
      for (std::int64_t half = 0; half < kHalves; ++half) {
        const HalfTile exponents(tile, half);
        __m512i sum[kRows];
#pragma GCC unroll 4
        for (int row = 0; row < kRows; ++row)
          sum[row] = _mm512_set1_epi32(block_of(a, a_stride, row).start + exponents.base_bits);
        for_each_quad(
            tile, half, exponents, [&](std::int64_t quad, __m512i weights) __attribute__((always_inline)) {
#pragma GCC unroll 4
              for (int row = 0; row < kRows; ++row) {
                const __m512i x = four_activations(block_of(a, a_stride, row).integers + 4 * quad);
                sum[row] = add_products(sum[row], weights, x);
              }
            });
#pragma GCC unroll 4
        for (int row = 0; row < kRows; ++row) {
          const __m512 value = _mm512_sub_ps(_mm512_castsi512_ps(sum[row]), _mm512_set1_ps(exponents.base));
          total[column][row][half] =
              _mm512_fmadd_ps(value, _mm512_set1_ps(block_of(a, a_stride, row).scale), total[column][row][half]);
        }
      }
    }
  }
  for (int column = 0; column < kColumns; ++column) {
    for (int row = 0; row < kRows; ++row) {
      for (std::int64_t half = 0; half < kHalves; ++half) {
        _mm512_storeu_ps(out + (column * kRows + row) * kTileWidth + half * kFaceWidth, total[column][row][half]);
      }
    }
  }
}

/// Many rows: some tiles of a column are decoded once for all.
void multiply_many(const std::byte* a, std::int64_t a_stride, std::int64_t m, std::int64_t tile_rows,
                   const std::byte* tile, std::int64_t step, float* out) {
  constexpr std::int64_t kPanelTiles = 8;
  alignas(64) WeightTile panel[kPanelTiles];
  for (std::int64_t start = 0; start < tile_rows; start += kPanelTiles) {
    const std::int64_t tiles = std::min(kPanelTiles, tile_rows - start);
    for (std::int64_t i = 0; i < tiles; ++i, tile += step) {
      decode(tile, panel[i]);
      for (std::int64_t line = 0; line < kTileBytes; line += 64)
        _mm_prefetch(reinterpret_cast<const char*>(tile + kPanelTiles * step + line), _MM_HINT_T0);
    }
    // Even shares: 32 rows as 11 + 11 + 10, not 12 + 12 + 8.
    const std::int64_t shares = (m + kRowsOfTile - 1) / kRowsOfTile;
    for (std::int64_t share = 0, row = 0; share < shares; ++share) {
      const std::int64_t rows = (m - row + shares - share - 1) / (shares - share);
      multiply_rest<kRowsOfTile>(rows, a + row * a_stride + start * static_cast<std::int64_t>(sizeof(Block)), a_stride,
                                 panel, tiles, out + row * kTileWidth);
      row += rows;
    }
  }
}

template <int kRows>
void multiply_few(const std::byte* a, std::int64_t a_stride, const ConstTiles& w, std::int64_t first_column,
                  std::int64_t columns, float* out) {
  for (std::int64_t column = first_column, c = 0; c < columns;) {
    const std::byte* tile = w.data + tile_position(w.tile_rows, w.tile_columns, 0, column + c) * kTileBytes;
    const std::int64_t step = tile_step(w.tile_columns, column + c);
    float* const sums = out + c * kRows * kTileWidth;
    if (step == 1) {
      stream<kRows, 1>(a, a_stride, w.tile_rows, tile, sums);
      c += 1;
    } else if ((column + c) % 2 == 0 && c + 1 < columns) {
      stream<kRows, 2>(a, a_stride, w.tile_rows, tile, sums);
      c += 2;
    } else {
      multiply_many(a, a_stride, kRows, w.tile_rows, tile, step * kTileBytes, sums);
      c += 1;
    }
  }
}

} // namespace

void pack_int8(const float* x, std::int64_t count, std::byte* out) noexcept {
  for (std::int64_t k = 0; k < count; k += kTileHeight, out += sizeof(Block)) {
    const QuantisedBlock<2> quantised(x + k);
    Block block;
    for (std::int64_t part = 0; part < 2; ++part)
      store_u8(reinterpret_cast<std::byte*>(block.integers) + part * kLanes, quantised.integers[part]);
    block.start = -kOffset * _mm512_reduce_add_epi32(iadd(quantised.integers[0], quantised.integers[1]));
    block.scale = quantised.scale;
    __builtin_memcpy(out, &block, sizeof block);
  }
}

void matmul_int8_tile_columns(const std::byte* a, std::int64_t a_stride, std::int64_t m, std::int64_t,
                              const ConstTiles& w, std::int64_t first_column, std::int64_t columns,
                              float* out) noexcept {
  if (m <= 0) return;
  __builtin_memset(out, 0, static_cast<std::size_t>(columns * m * kTileWidth) * sizeof(float));
  switch (m) {
    case 1:
      return multiply_few<1>(a, a_stride, w, first_column, columns, out);
    case 2:
      return multiply_few<2>(a, a_stride, w, first_column, columns, out);
    case 3:
      return multiply_few<3>(a, a_stride, w, first_column, columns, out);
    case 4:
      return multiply_few<4>(a, a_stride, w, first_column, columns, out);
    default:
      for (std::int64_t c = 0; c < columns; ++c) {
        const std::int64_t column = first_column + c;
        multiply_many(a, a_stride, m, w.tile_rows,
                      w.data + tile_position(w.tile_rows, w.tile_columns, 0, column) * kTileBytes,
                      tile_step(w.tile_columns, column) * kTileBytes, out + c * m * kTileWidth);
      }
  }
}

} // namespace tessera::kernels::avx512
