#include <algorithm>
#include <array>

#include "tessera/kernels/avx512/vec.hpp"
#include "tessera/kernels/isa.hpp"
#include "tessera/spec/tile.hpp"

// LoFi products of 8-bit integers on vpdpbusd: four steps of k at a time, int32 sums, two integer multiply-adds in the
// time of one of bfloat16. Activations are stored with 128 added, as the instruction wants one unsigned operand; each sum
// starts at minus 128 times the weights' sum instead of at zero.

namespace tessera::kernels::avx512 {
namespace {

#include "tessera/kernels/generic/int8.inl"

constexpr std::int64_t kHalves = kTileWidth / kFaceWidth;
constexpr std::int64_t kQuads = kTileHeight / 4;
constexpr std::int64_t kBlockBytes = kTileHeight + std::int64_t{sizeof(float)}; ///< of 32 activations: bytes, then the scale
constexpr int kOffset = 128;

/// A tile of weights as integers: lane j of quads[i][half] holds rows 4 i to 4 i + 3 of column 16 half + j.
struct WeightTile {
  __m512i quads[kQuads][kHalves];
  __m512i start[kHalves]; ///< what a sum starts at: the bits of base, less 128 times the sum of each column
  /// 1.5 * 2^23 units of the weights' integers: added to its bits, a sum of products becomes a float without conversion.
  float base[kHalves];
};

/// For code | d << 4: the integer of a BFLOAT4_B code whose exponent lies d below the largest.
constexpr std::array<std::int8_t, 128> integer_table() {
  std::array<std::int8_t, 128> table{};
  for (int index = 0; index < 128; ++index) {
    const int d = index >> 4;
    if (d >= kDroppedExponents) continue;
    const int sixteenths = (index & 7) << 4;
    const int half = (1 << d) / 2;
    const int floor = sixteenths >> d;
    const int rest = sixteenths - (floor << d);
    const int magnitude = floor + (rest > half || (d > 0 && rest == half && floor % 2 == 1) ? 1 : 0);
    table[static_cast<std::size_t>(index)] = static_cast<std::int8_t>((index & 8) != 0 ? -magnitude : magnitude);
  }
  return table;
}

/// Four rows of 16 bytes to 16 lanes of four.
inline __m512i by_columns(__m512i rows) {
  alignas(64) static constexpr auto kIndex = [] {
    std::array<std::uint8_t, 64> index{};
    for (std::size_t i = 0; i < 64; ++i) index[i] = static_cast<std::uint8_t>(i % 4 * 16 + i / 4);
    return index;
  }();
  return _mm512_permutexvar_epi8(_mm512_load_si512(kIndex.data()), rows);
}

inline void decode_half(const std::byte* tile, std::int64_t half, WeightTile& out) {
  alignas(64) static constexpr std::array<std::int8_t, 128> kTable = integer_table();
  const __m128i upper = _mm_loadu_si128(reinterpret_cast<const __m128i*>(tile + half * kFaceHeight));
  const __m128i lower = _mm_loadu_si128(reinterpret_cast<const __m128i*>(tile + (2 + half) * kFaceHeight));
  __m128i most = _mm_max_epu8(upper, lower);
  most = _mm_max_epu8(most, _mm_srli_si128(most, 8));
  most = _mm_max_epu8(most, _mm_srli_si128(most, 4));
  most = _mm_max_epu8(most, _mm_srli_si128(most, 2));
  most = _mm_max_epu8(most, _mm_srli_si128(most, 1));
  most = _mm_broadcastb_epi8(most);
  const int exponent = _mm_extract_epi8(most, 0);
  const bool counts = exponent >= kLeastExponent && exponent <= kMostExponent;
  const std::int32_t base = ((counts ? exponent : kLeastExponent) + 17) << 23 | 0x400000;
  out.base[half] = exponent > kMostExponent ? __builtin_nanf("") : float_of(base);
  alignas(32) std::int32_t steps[kQuads]; // of each row: 16 times its distance from the largest exponent, 7 at most
  const __m128i limit = _mm_set1_epi8(kDroppedExponents);
  const auto steps_of = [&](__m128i exponents) {
    return _mm_slli_epi16(_mm_min_epu8(_mm_subs_epu8(most, exponents), limit), 4);
  };
  _mm_store_si128(reinterpret_cast<__m128i*>(steps), steps_of(upper));
  _mm_store_si128(reinterpret_cast<__m128i*>(steps + kQuads / 2), steps_of(lower));
  __m512i sum = _mm512_setzero_si512();
  for (std::int64_t quad = 0; quad < kQuads; ++quad) {
    constexpr std::int64_t kFaceBytes = 128;
    const std::byte* codes = tile + 64 + (quad / 4 * 2 + half) * kFaceBytes + quad % 4 * 32;
    const __m512i bytes = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)));
    const __m512i nibbles =
        _mm512_and_si512(_mm512_or_si512(bytes, _mm512_slli_epi16(bytes, 4)), _mm512_set1_epi8(0x0F));
    const __m512i index = _mm512_or_si512(by_columns(nibbles), _mm512_set1_epi32(steps[quad]));
    const __m512i weights = _mm512_maskz_permutex2var_epi8(
        counts ? ~__mmask64{0} : __mmask64{0}, _mm512_load_si512(kTable.data()), index, _mm512_load_si512(kTable.data() + 64));
    out.quads[quad][half] = weights;
    sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(static_cast<char>(kOffset)), weights);
  }
  out.start[half] = _mm512_sub_epi32(_mm512_set1_epi32(base), sum);
}

inline __m512i four_activations(const std::byte* a) {
  std::int32_t bytes;
  __builtin_memcpy(&bytes, a, sizeof bytes);
  return _mm512_set1_epi32(bytes);
}

/// sum + a * w, four products a lane. The intrinsic makes GCC 12 copy and spill the sums of a register tile.
inline __m512i add_products(__m512i sum, __m512i a, __m512i w) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(w));
  return sum;
}

/// out += kRows rows times a tile. Not inlined: across tiles GCC would keep sums in registers that the products need.
template <int kRows>
[[gnu::noinline]] void multiply_tile(const std::byte* block, std::int64_t a_stride, const WeightTile& w, float* out) {
  __m512i sum[kRows][kHalves];
#pragma GCC unroll 12
  for (int row = 0; row < kRows; ++row) {
    sum[row][0] = w.start[0];
    sum[row][1] = w.start[1];
  }
  for (std::int64_t quad = 0; quad < kQuads; ++quad) {
    const __m512i left = w.quads[quad][0];
    const __m512i right = w.quads[quad][1];
#pragma GCC unroll 12
    for (int row = 0; row < kRows; ++row) {
      const __m512i x = four_activations(block + row * a_stride + 4 * quad);
      sum[row][0] = add_products(sum[row][0], x, left);
      sum[row][1] = add_products(sum[row][1], x, right);
    }
  }
#pragma GCC unroll 12
  for (int row = 0; row < kRows; ++row) {
    float scale;
    __builtin_memcpy(&scale, block + row * a_stride + kTileHeight, sizeof scale);
#pragma GCC unroll 2
    for (std::int64_t half = 0; half < kHalves; ++half) {
      float* const at = out + row * kTileWidth + half * kFaceWidth;
      const __m512 value = _mm512_sub_ps(_mm512_castsi512_ps(sum[row][half]), _mm512_set1_ps(w.base[half]));
      _mm512_storeu_ps(at, _mm512_fmadd_ps(value, _mm512_set1_ps(scale), _mm512_loadu_ps(at)));
    }
  }
}

template <int kRows>
void multiply_tiles(const std::byte* a, std::int64_t a_stride, const WeightTile* weights, std::int64_t tiles,
                    float* out) {
  for (std::int64_t tile = 0; tile < tiles; ++tile)
    multiply_tile<kRows>(a + tile * kBlockBytes, a_stride, weights[tile], out);
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

} // namespace

void pack_int8(const float* x, std::int64_t count, std::byte* out) noexcept {
  for (std::int64_t k = 0; k < count; k += kTileHeight, out += kBlockBytes) {
    const QuantisedBlock<2> block(x + k);
    for (std::int64_t part = 0; part < 2; ++part)
      store_u8(out + part * kLanes, iadd(block.integers[part], broadcast_int(kOffset)));
    __builtin_memcpy(out + kTileHeight, &block.scale, sizeof(float));
  }
}

void matmul_int8_tile_column(const std::byte* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth,
                             const ConstTiles& w, std::int64_t tile_column, float* out) noexcept {
  constexpr std::int64_t kTileBytes = tile_bytes(DataType::BFLOAT4_B);
  constexpr std::int64_t kPanelTiles = 8;
  alignas(64) WeightTile panel[kPanelTiles];
  __builtin_memset(out, 0, static_cast<std::size_t>(m * kTileWidth) * sizeof(float));
  const std::byte* tile = w.data + tile_position(w.tile_rows, w.tile_columns, 0, tile_column) * kTileBytes;
  const std::int64_t step = tile_step(w.tile_columns, tile_column) * kTileBytes;
  for (std::int64_t start = 0; start < depth; start += kPanelTiles * kTileHeight) {
    const std::int64_t tiles = std::min(kPanelTiles, (depth - start) / kTileHeight);
    for (std::int64_t i = 0; i < tiles; ++i, tile += step) {
      for (std::int64_t half = 0; half < kHalves; ++half) decode_half(tile, half, panel[i]);
    }
    // Even shares: 32 rows as 11 + 11 + 10, not 12 + 12 + 8.
    const std::int64_t shares = (m + kRowsOfTile - 1) / kRowsOfTile;
    for (std::int64_t share = 0, row = 0; share < shares; ++share) {
      const std::int64_t rows = (m - row + shares - share - 1) / (shares - share);
      multiply_rest<kRowsOfTile>(rows, a + row * a_stride + start / kTileHeight * kBlockBytes, a_stride, panel, tiles,
                                 out + row * kTileWidth);
      row += rows;
    }
  }
}

} // namespace tessera::kernels::avx512
