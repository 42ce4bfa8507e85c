#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "tessera/kernels/isa.hpp"
#include "tessera/numerics/bfloat16.hpp"

namespace tessera::kernels::scalar {

void matmul_tile_column(const float* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth, const ConstTiles& w,
                        std::int64_t tile_column, float* out) noexcept {
  std::fill(out, out + m * kTileWidth, 0.0F);
  for (std::int64_t start = 0; start < depth; start += kTileHeight) {
    std::array<float, kTileElements> tile;
    load_tile(w, start / kTileHeight, tile_column, tile.data());
    const std::int64_t steps = std::min(kTileHeight, depth - start);
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t k = 0; k < steps; ++k) {
        const float value = a[i * a_stride + start + k];
        for (std::int64_t j = 0; j < kTileWidth; ++j) {
          float& sum = out[i * kTileWidth + j];
          sum = std::fma(value, tile[static_cast<std::size_t>(k * kTileWidth + j)], sum);
        }
      }
    }
  }
}

namespace {

float without_denormal(float value) {
  return std::fabs(value) < std::numeric_limits<float>::min() ? std::copysign(0.0F, value) : value;
}

void multiply_bf16_column(const std::byte* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth,
                          const ConstTiles& w, std::int64_t tile_column, float* out) {
  std::fill(out, out + m * kTileWidth, 0.0F);
  std::array<float, kTileElements> tile;
  for (std::int64_t start = 0; start < depth; start += kTileHeight) {
    load_tile(w, start / kTileHeight, tile_column, tile.data());
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t step = 0; step < kTileHeight; ++step) {
        const std::int64_t k = step ^ 1; // the odd one of a pair first
        std::uint16_t bits;
        std::memcpy(&bits, a + i * a_stride + 2 * (start + k), sizeof bits);
        const float value = without_denormal(numerics::from_bfloat16(bits));
        for (std::int64_t j = 0; j < kTileWidth; ++j) {
          float& sum = out[i * kTileWidth + j];
          sum = without_denormal(
              std::fma(value, without_denormal(tile[static_cast<std::size_t>(k * kTileWidth + j)]), sum));
        }
      }
    }
  }
}

} // namespace

void pack_bf16(const float* x, std::int64_t count, std::byte* out) noexcept {
  for (std::int64_t k = 0; k < count; ++k) {
    const std::uint16_t bits = numerics::to_bfloat16(x[k]);
    std::memcpy(out + 2 * k, &bits, sizeof bits);
  }
}

void matmul_bf16_tile_columns(const std::byte* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth,
                              const ConstTiles& w, std::int64_t first_column, std::int64_t columns,
                              float* out) noexcept {
  for (std::int64_t c = 0; c < columns; ++c)
    multiply_bf16_column(a, a_stride, m, depth, w, first_column + c, out + c * m * kTileWidth);
}

} // namespace tessera::kernels::scalar
