#include <array>
#include <cstring>

#include "tessera/kernels/isa.hpp"
#include "tessera/kernels/random_bf16.hpp"
#include "tessera/numerics/bfloat16.hpp"
#include "tessera/numerics/tile_codec.hpp"

namespace tessera::kernels::scalar {

void convert_tile_column(const std::byte* const* rows, std::int64_t lanes, std::int64_t depth, const Tiles& tiles,
                         std::int64_t tile_column) noexcept {
  for (std::int64_t tile_row = 0; tile_row < tiles.tile_rows; ++tile_row) {
    std::array<float, kTileElements> tile{};
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      for (std::int64_t i = 0; i < kTileHeight && tile_row * kTileHeight + i < depth; ++i) {
        std::uint16_t pattern = 0;
        std::memcpy(&pattern, rows[lane] + 2 * (tile_row * kTileHeight + i), sizeof(pattern));
        tile[static_cast<std::size_t>(i * kTileWidth + lane)] = numerics::from_bfloat16(pattern);
      }
    }
    numerics::pack_tile(tiles.dtype, tile.data(), kTileWidth,
                        tiles.data + tile_position(tiles.tile_rows, tiles.tile_columns, tile_row, tile_column) *
                                         tile_bytes(tiles.dtype));
  }
}

void random_bf16(std::uint64_t key, std::int64_t first, std::int64_t count, std::byte* out) noexcept {
  const auto low = static_cast<std::uint32_t>(key);
  const auto high = static_cast<std::uint32_t>(key >> 32);
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint32_t hash = static_cast<std::uint32_t>(first + i) * static_cast<std::uint32_t>(kRandomStep) + low;
    hash = (hash ^ (hash >> 16)) * static_cast<std::uint32_t>(kRandomFirst);
    hash ^= high;
    hash = (hash ^ (hash >> 15)) * static_cast<std::uint32_t>(kRandomSecond);
    hash ^= hash >> 15;
    const std::uint32_t sum = (hash & 0xFF) + (hash >> 8 & 0xFF) + (hash >> 16 & 0xFF) + (hash >> 24);
    const std::uint16_t pattern =
        numerics::to_bfloat16(static_cast<float>(static_cast<std::int32_t>(sum) - kRandomMean) * kRandomScale);
    std::memcpy(out + 2 * i, &pattern, sizeof(pattern));
  }
}

} // namespace tessera::kernels::scalar
