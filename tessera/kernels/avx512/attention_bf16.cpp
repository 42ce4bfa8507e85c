#include <array>
#include <type_traits>

#include "tessera/kernels/avx512/vec.hpp"
#include "tessera/kernels/isa.hpp"
#include "tessera/spec/tile.hpp"

// Attention on vdpbf16ps. Products of pairs of neighbours need both operands in pairs: queries and weights lie so
// already, keys are transposed by pairs and values interleaved two rows at a time, once for all rows of queries.

namespace tessera::kernels::avx512 {
#include "tessera/kernels/generic/formats.inl"

#include "tessera/kernels/generic/ask.inl"
#include "tessera/kernels/generic/exp.inl"
#include "tessera/kernels/generic/register_tile.inl"

namespace {

inline constexpr std::int64_t kValuesOfUnit = 2;

inline Vec dot(Vec sum, VecI a, VecI b) {
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
}

inline Mask above(Vec a, Vec b) {
  return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
}

/// 2^floor(x) times a polynomial of the rest, 0 to 1: within 2.9e-6 of 2^x, relatively, a thousandth of what rounding
/// to bfloat16 takes away; 2^0 is 1 exactly. Coefficients: minimax, by Lawson's algorithm.
inline Vec power_of_two(Vec x) {
  constexpr int kLessFloor = 0x09;
  const Vec r = _mm512_reduce_ps(x, kLessFloor);
  Vec sum = broadcast(0.013426688F);
  sum = fma(sum, r, broadcast(0.052242466F));
  sum = fma(sum, r, broadcast(0.24128021F));
  sum = fma(sum, r, broadcast(0.69304484F));
  sum = fma(sum, r, broadcast(1.0F));
  return _mm512_scalef_ps(sum, x);
}

inline Vec keep_weights(Vec sum, Vec low, Vec high, std::byte* out) {
  const auto weights = reinterpret_cast<VecI>(_mm512_cvtne2ps_pbh(high, low));
  store_bits(out, weights);
  return dot(sum, weights, _mm512_set1_epi16(0x3F80)); // 1 and 1
}

struct MultiplyMode {};

/// Rows 2 r and 2 r + 1 of a face in bfloat16.
template <DataType D>
struct FaceRows;

template <>
struct FaceRows<DataType::BFLOAT16> {
  FaceRows(const std::byte* tile, std::int64_t face) : data(tile + face * kFaceHeight * kFaceWidth * 2) {}
  VecI operator()(std::int64_t r) const { return load_bits(data + r * 64); }
  const std::byte* data;
};

/// Any other format, widened before.
struct WidenedFace {
  VecI rows[kFaceHeight / 2];
  VecI operator()(std::int64_t r) const { return rows[r]; }
};

template <DataType D>
inline WidenedFace widen_face(const std::byte* tile, std::int64_t face) {
  WidenedFace widened;
  for (std::int64_t r = 0; r < kFaceHeight / 2; ++r) {
    // Exact: block formats have fewer bits than bfloat16. Denormals may lose bits, and count as zero.
    const VecI upper = shift_right<16>(bits(decode<D>(tile, face * kFaceHeight + 2 * r, 0)));
    const VecI lower = shift_right<16>(bits(decode<D>(tile, face * kFaceHeight + 2 * r + 1, 0)));
    widened.rows[r] =
        _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(upper)), _mm512_cvtepi32_epi16(lower), 1);
  }
  return widened;
}

/// bfloat16 bits of magnitude / 64 for each magnitude of BFLOAT8_B, low bytes and high bytes, and where the bytes of
/// rows 2 i and 2 i + 1 of four lie among low bytes and, from 64 on, high bytes.
struct Bfp8Tables {
  alignas(64) std::array<std::uint8_t, 128> low{};
  alignas(64) std::array<std::uint8_t, 128> high{};
  alignas(64) std::array<std::array<std::uint8_t, 64>, 2> rows{};

  constexpr Bfp8Tables() {
    for (unsigned magnitude = 1; magnitude < 128; ++magnitude) {
      unsigned top = 6;
      while ((magnitude >> top) == 0) --top;
      const unsigned pattern = (121 + top) << 7 | (magnitude << (7 - top) & 0x7F);
      low[magnitude] = static_cast<std::uint8_t>(pattern & 0xFF);
      high[magnitude] = static_cast<std::uint8_t>(pattern >> 8);
    }
    for (std::size_t i = 0; i < 64; ++i) {
      rows[i / 32][i % 32 * 2] = static_cast<std::uint8_t>(i);
      rows[i / 32][i % 32 * 2 + 1] = static_cast<std::uint8_t>(64 + i);
    }
  }
};

/// By two look-ups for 64 codes; the shared exponents are added to the exponent fields.
template <>
inline WidenedFace widen_face<DataType::BFLOAT8_B>(const std::byte* tile, std::int64_t face) {
  static constexpr Bfp8Tables kTables;
  const auto look_up = [](const auto& table, VecI codes) { // by the low seven bits
    return _mm512_permutex2var_epi8(load_bits(reinterpret_cast<const std::byte*>(table.data())), codes,
                                    load_bits(reinterpret_cast<const std::byte*>(table.data() + 64)));
  };
  const VecI magnitude_bits = _mm512_set1_epi16(0x7FFF);
  const __m256i exponents =
      _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(tile + face * kFaceHeight)));
  const VecI steps = _mm512_castsi256_si512(_mm256_slli_epi16(_mm256_sub_epi16(exponents, _mm256_set1_epi16(127)), 7));
  // The smallest magnitude has exponent e - 6: below 1 it is no normal number.
  const bool normal = _mm256_cmplt_epi16_mask(exponents, _mm256_set1_epi16(7)) == 0;
  // Lanes of the first row, then of the second.
  VecI row_numbers = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(1), 1);
  WidenedFace widened;
#pragma GCC unroll 4
  for (std::int64_t quad = 0; quad < 4; ++quad) {
    const VecI codes = load_bits(tile + kGroups + face * kFaceHeight * kFaceWidth + quad * 64);
    const VecI low = look_up(kTables.low, codes);
    constexpr int kOrAnd = 0xF8; // high | (codes & sign)
    const VecI high = _mm512_ternarylogic_epi32(look_up(kTables.high, codes), codes,
                                                _mm512_set1_epi8(static_cast<char>(0x80)), kOrAnd);
#pragma GCC unroll 2
    for (std::int64_t half = 0; half < 2; ++half) {
      const VecI order =
          load_bits(reinterpret_cast<const std::byte*>(kTables.rows[static_cast<std::size_t>(half)].data()));
      const VecI values = _mm512_permutex2var_epi8(low, order, high);
      const VecI step = _mm512_permutexvar_epi16(row_numbers, steps);
      __mmask32 keep = _mm512_test_epi16_mask(values, magnitude_bits);
      if (!normal) {
        const VecI scaled = _mm512_add_epi16(_mm512_and_si512(values, magnitude_bits), step);
        keep = _mm512_mask_cmpgt_epi16_mask(keep, scaled, _mm512_set1_epi16(0x7F));
      }
      widened.rows[2 * quad + half] = _mm512_maskz_add_epi16(keep, values, step);
      row_numbers = _mm512_add_epi16(row_numbers, _mm512_set1_epi16(2));
    }
  }
  return widened;
}

template <DataType D>
inline auto face_rows(const std::byte* tile, std::int64_t face) {
  if constexpr (D == DataType::BFLOAT16) {
    return FaceRows<D>(tile, face);
  } else {
    return widen_face<D>(tile, face);
  }
}

/// 16 keys of 8 pairs: vector p gets pair p of each key, at out + p * stride. Three rounds, each of which doubles the
/// number of keys that lie together.
template <typename Face>
inline void transpose_pairs(const Face& face, std::byte* out, std::int64_t stride) {
  // A vector of `face` has 8 pairs of key 2 r, then 8 of key 2 r + 1; 16 + i is lane i of the next vector.
  const VecI low = _mm512_setr_epi32(0, 8, 16, 24, 1, 9, 17, 25, 2, 10, 18, 26, 3, 11, 19, 27);
  const VecI high = iadd(low, broadcast_int(4));
  VecI four_keys[2][4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const VecI a = face(2 * i);
    const VecI b = face(2 * i + 1);
    four_keys[0][i] = _mm512_permutex2var_epi32(a, low, b);
    four_keys[1][i] = _mm512_permutex2var_epi32(a, high, b);
  }
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    const VecI(&keys)[4] = four_keys[half];
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      // Pairs 2 i and 2 i + 1 of this half.
      const VecI upper =
          i == 0 ? _mm512_shuffle_i32x4(keys[0], keys[1], 0x44) : _mm512_shuffle_i32x4(keys[0], keys[1], 0xEE);
      const VecI lower =
          i == 0 ? _mm512_shuffle_i32x4(keys[2], keys[3], 0x44) : _mm512_shuffle_i32x4(keys[2], keys[3], 0xEE);
      store_bits(out + (4 * half + 2 * i) * stride, _mm512_shuffle_i32x4(upper, lower, 0x88));
      store_bits(out + (4 * half + 2 * i + 1) * stride, _mm512_shuffle_i32x4(upper, lower, 0xDD));
    }
  }
}

template <DataType D>
inline const std::byte* tile_at(const TileRow& row, std::int64_t column) {
  const ConstTiles& tiles = row.tiles;
  return tiles.data + tile_position(tiles.tile_rows, tiles.tile_columns, row.row, column) * tile_bytes(D);
}

template <DataType D>
inline void pack_keys(const TileRow& k, const Lines& ahead, std::byte* panel) {
  Asking asking(ahead, 4 * k.tiles.tile_columns);
  for (std::int64_t column = 0; column < k.tiles.tile_columns; ++column) {
    const std::byte* tile = tile_at<D>(k, column);
    for (std::int64_t face = 0; face < 4; ++face) {
      asking.step();
      std::byte* out = panel + (column * 16 + face % 2 * 8) * 128 + face / 2 * 64;
      transpose_pairs(face_rows<D>(tile, face), out, 128);
    }
  }
}

template <DataType D>
inline void pack_values(const TileRow& v, const Lines& ahead, std::int64_t first, std::int64_t last, std::byte* panel) {
  Asking asking(ahead, 4 * v.tiles.tile_columns);
  // 16-bit lanes 2 i and 2 i + 1 come from value i of the first row and of the second.
  const VecI order = iadd(ior(lane_numbers(), shift_left<16>(lane_numbers())), broadcast_int(16 << 16));
  const std::int64_t row_bytes = v.tiles.tile_columns * kTileWidth * 4;
  for (std::int64_t column = 0; column < v.tiles.tile_columns; ++column) {
    const std::byte* tile = tile_at<D>(v, column);
    for (std::int64_t face = 0; face < 4; ++face) {
      asking.step();
      const auto rows = face_rows<D>(tile, face);
      std::byte* out = panel + face / 2 * 8 * row_bytes + column * 128 + face % 2 * 64;
#pragma GCC unroll 8
      for (std::int64_t r = 0; r < 8; ++r) {
        store_bits(out + r * row_bytes, _mm512_permutexvar_epi16(order, rows(r)));
      }
    }
  }
  for (std::int64_t key = 0; key < kTileHeight; ++key) {
    if (first <= key && key < last) continue;
    const VecI other = broadcast_int(key % 2 == 0 ? static_cast<std::int32_t>(0xFFFF0000) : 0xFFFF);
    for (std::int64_t at = 0; at < row_bytes; at += 64) {
      std::byte* units = panel + key / 2 * row_bytes + at;
      store_bits(units, iand(load_bits(units), other));
    }
  }
}

} // namespace

void attention_pack_keys(const TileRow& k, const Lines& ahead, std::byte* panel) noexcept {
  with_format(k.tiles.dtype, [&]<typename F>(F) { pack_keys<F::kType>(k, ahead, panel); });
}

void attention_pack_values(const TileRow& v, const Lines& ahead, std::int64_t first, std::int64_t last,
                           std::byte* panel) noexcept {
  with_format(v.tiles.dtype, [&]<typename F>(F) { pack_values<F::kType>(v, ahead, first, last, panel); });
}

#include "tessera/kernels/generic/attention_bf16.inl"
} // namespace tessera::kernels::avx512
