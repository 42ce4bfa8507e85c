#include <type_traits>

#include "tessera/kernels/avx2/vec.hpp"
#include "tessera/kernels/isa.hpp"
#include "tessera/spec/tile.hpp"

// Attention on bfloat16 values widened to fp32. A unit is one value; the neighbours of a pair change places, so that
// sums are the chains of vdpbf16ps: the odd one first.

namespace tessera::kernels::avx2 {
#include "tessera/kernels/generic/ask.inl"
#include "tessera/kernels/generic/exp.inl"
#include "tessera/kernels/generic/register_tile.inl"

namespace {

inline constexpr std::int64_t kValuesOfUnit = 1;

inline Vec dot(Vec sum, VecI a, VecI b) {
  return fma(from_bits(a), from_bits(b), sum);
}

inline Mask above(Vec a, Vec b) {
  return {bits(_mm256_cmp_ps(a, b, _CMP_GT_OQ))};
}

/// 2^round(x) times a polynomial of the rest, -1/2 to 1/2: within 2.9e-6 of 2^x, relatively; 0 below 2^-126.
inline Vec power_of_two(Vec x) {
  const Vec bounded = max(broadcast(-127.0F), x); // NaN passes as the second operand
  const VecI n = round_to_int(bounded);
  const Vec r = sub(bounded, to_float(n));
  Vec sum = broadcast(0.0095828507F);
  sum = fma(sum, r, broadcast(0.055906428F));
  sum = fma(sum, r, broadcast(0.24024099F));
  sum = fma(sum, r, broadcast(0.69312419F));
  sum = fma(sum, r, broadcast(1.0F));
  return mul(sum, from_bits(shift_left<23>(iadd(n, broadcast_int(127)))));
}

/// To the nearest bfloat16, ties to even. NaN stays NaN.
inline Vec round_weight(Vec v) {
  const VecI odd = iand(shift_right<16>(bits(v)), broadcast_int(1));
  const VecI rounded = iadd(iadd(bits(v), broadcast_int(0x7FFF)), odd);
  return from_bits(iand(rounded, broadcast_int(static_cast<std::int32_t>(0xFFFF0000))));
}

inline Vec keep_weights(Vec sum, Vec low, Vec high, std::byte* out) {
  const Vec first = round_weight(low);
  const Vec second = round_weight(high);
  store_bits(out, bits(swap_pairs(first)));
  store_bits(out + kLanes * 4, bits(swap_pairs(second)));
  return add(sum, add(first, second));
}

} // namespace

void attention_pack_keys(const TileRow& k, const Lines& ahead, std::byte* panel) noexcept {
  Asking asking(ahead, k.tiles.tile_columns);
  alignas(64) float tile[kTileElements];
  auto* out = reinterpret_cast<float*>(panel);
  for (std::int64_t column = 0; column < k.tiles.tile_columns; ++column) {
    asking.step();
    load_tile_transposed(k.tiles, k.row, column, tile);
    for (std::int64_t d = 0; d < kTileWidth; ++d) {
      for (std::int64_t key = 0; key < kTileHeight; key += kLanes)
        store(out + (column * kTileWidth + (d ^ 1)) * kTileHeight + key, load(tile + d * kTileHeight + key));
    }
  }
}

void attention_pack_values(const TileRow& v, const Lines& ahead, std::int64_t first, std::int64_t last,
                           std::byte* panel) noexcept {
  Asking asking(ahead, v.tiles.tile_columns);
  alignas(64) float tile[kTileElements];
  auto* out = reinterpret_cast<float*>(panel);
  const std::int64_t width = v.tiles.tile_columns * kTileWidth;
  for (std::int64_t column = 0; column < v.tiles.tile_columns; ++column) {
    asking.step();
    load_tile(v.tiles, v.row, column, tile);
    for (std::int64_t key = 0; key < kTileHeight; ++key) {
      const bool inside = first <= key && key < last;
      for (std::int64_t d = 0; d < kTileWidth; d += kLanes)
        store(out + (key ^ 1) * width + column * kTileWidth + d, inside ? load(tile + key * kTileWidth + d) : zero());
    }
  }
}

#include "tessera/kernels/generic/attention_bf16.inl"
} // namespace tessera::kernels::avx2
