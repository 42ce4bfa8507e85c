#include <algorithm>
#include <array>
#include <cmath>

#include "tessera/kernels/isa.hpp"

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

} // namespace tessera::kernels::scalar
