#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "tessera/kernels/isa.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::kernels::scalar {
namespace {

constexpr std::int64_t kBlockBytes = kTileHeight + std::int64_t{sizeof(float)}; ///< of 32 integers and their scale

std::int64_t group_of(std::int64_t row, std::int64_t half) {
  return (row / kFaceHeight * 2 + half) * kFaceHeight + row % kFaceHeight;
}

/// Sign and magnitude of the element (row, column) of a BFLOAT4_B tile.
int code_at(const std::byte* tile, std::int64_t row, std::int64_t column) {
  const std::int64_t element = tile_element(row, column);
  const int pair = static_cast<int>(tile[64 + element / 2]);
  const int code = element % 2 == 0 ? pair & 15 : pair >> 4;
  return (code & 8) != 0 ? -(code & 7) : code & 7;
}

/// A tile as integers, and what one unit is worth in either half.
struct IntegerTile {
  std::array<int, kTileElements> values{};
  std::array<float, 2> scale{};

  explicit IntegerTile(const std::byte* tile) {
    for (std::int64_t half = 0; half < 2; ++half) {
      int most = 0;
      for (std::int64_t row = 0; row < kTileHeight; ++row)
        most = std::max(most, static_cast<int>(tile[group_of(row, half)]));
      scale[static_cast<std::size_t>(half)] = most > 237 ? std::numeric_limits<float>::quiet_NaN()
                                              : most < 7 ? 0.0F
                                                         : std::ldexp(1.0F, most - 133);
      for (std::int64_t row = 0; row < kTileHeight; ++row) {
        const int distance = most - static_cast<int>(tile[group_of(row, half)]);
        if (distance >= 7) continue;
        for (std::int64_t column = half * kFaceWidth; column < (half + 1) * kFaceWidth; ++column) {
          values[static_cast<std::size_t>(row * kTileWidth + column)] =
              static_cast<int>(std::nearbyint(std::ldexp(code_at(tile, row, column), 4 - distance)));
        }
      }
    }
  }
};

void multiply_column(const std::byte* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth, const ConstTiles& w,
                     std::int64_t tile_column, float* out) {
  std::fill(out, out + m * kTileWidth, 0.0F);
  for (std::int64_t tile_row = 0; tile_row < depth / kTileHeight; ++tile_row) {
    const IntegerTile tile(w.data +
                           tile_position(w.tile_rows, w.tile_columns, tile_row, tile_column) * tile_bytes(w.dtype));
    for (std::int64_t i = 0; i < m; ++i) {
      const std::byte* block = a + i * a_stride + tile_row * kBlockBytes;
      float scale;
      std::memcpy(&scale, block + kTileHeight, sizeof scale);
      for (std::int64_t j = 0; j < kTileWidth; ++j) {
        int sum = 0;
        for (std::int64_t k = 0; k < kTileHeight; ++k) {
          sum += static_cast<std::int8_t>(block[k]) * tile.values[static_cast<std::size_t>(k * kTileWidth + j)];
        }
        float& total = out[i * kTileWidth + j];
        total = std::fma(static_cast<float>(sum) * tile.scale[static_cast<std::size_t>(j / kFaceWidth)], scale, total);
      }
    }
  }
}

} // namespace

void pack_int8(const float* x, std::int64_t count, std::byte* out) noexcept {
  for (std::int64_t k = 0; k < count; k += kTileHeight, out += kBlockBytes) {
    float largest = 0.0F;
    bool finite = true;
    for (std::int64_t i = 0; i < kTileHeight; ++i) {
      finite = finite && std::isfinite(x[k + i]);
      largest = std::max(largest, std::fabs(x[k + i]));
    }
    const bool counts = finite && largest >= std::ldexp(1.0F, -100);
    const float inverse = 127.0F / largest;
    for (std::int64_t i = 0; i < kTileHeight; ++i)
      out[i] = static_cast<std::byte>(counts ? static_cast<std::int8_t>(std::nearbyint(x[k + i] * inverse)) : 0);
    const float scale = !finite ? std::numeric_limits<float>::quiet_NaN() : counts ? largest / 127.0F : 0.0F;
    std::memcpy(out + kTileHeight, &scale, sizeof scale);
  }
}

void matmul_int8_tile_columns(const std::byte* a, std::int64_t a_stride, std::int64_t m, std::int64_t depth,
                              const ConstTiles& w, std::int64_t first_column, std::int64_t columns,
                              float* out) noexcept {
  for (std::int64_t c = 0; c < columns; ++c)
    multiply_column(a, a_stride, m, depth, w, first_column + c, out + c * m * kTileWidth);
}

} // namespace tessera::kernels::scalar
