#include <algorithm>
#include <array>
#include <cstring>

#include "tessera/kernels/isa.hpp"
#include "tessera/numerics/bfloat16.hpp"
#include "tessera/numerics/block_float.hpp"
#include "tessera/numerics/tile_codec.hpp"

namespace tessera::kernels::scalar {
namespace {

constexpr std::int64_t kGroupsPerFace = kFaceHeight;

/// Number of the group that holds (row, 16 * half ..) of a tile.
std::int64_t group_index(std::int64_t row, std::int64_t half) {
  return (row / kFaceHeight * 2 + half) * kGroupsPerFace + row % kFaceHeight;
}

void load_group(DataType dtype, const std::byte* tile, std::int64_t group, float* out) {
  if (is_block_float(dtype)) {
    const numerics::BlockGroup codes = numerics::read_group(dtype, tile, group);
    for (std::size_t i = 0; i < codes.codes.size(); ++i) {
      out[i] = numerics::unpack_element(dtype, codes.codes[i], codes.exponent);
    }
  } else if (dtype == DataType::BFLOAT16) {
    std::array<std::uint16_t, kFaceWidth> patterns;
    std::memcpy(patterns.data(), tile + group * kFaceWidth * 2, sizeof(patterns));
    for (std::size_t i = 0; i < patterns.size(); ++i) out[i] = numerics::from_bfloat16(patterns[i]);
  } else {
    std::memcpy(out, tile + group * kFaceWidth * 4, kFaceWidth * 4);
  }
}

void store_group(DataType dtype, const float* in, std::byte* tile, std::int64_t group) {
  if (is_block_float(dtype)) {
    const std::span<const float, kFaceWidth> values(in, kFaceWidth);
    numerics::write_group(dtype, numerics::pack_group(dtype, values), tile, group);
  } else if (dtype == DataType::BFLOAT16) {
    std::array<std::uint16_t, kFaceWidth> patterns;
    for (std::size_t i = 0; i < patterns.size(); ++i) patterns[i] = numerics::to_bfloat16(in[i]);
    std::memcpy(tile + group * kFaceWidth * 2, patterns.data(), sizeof(patterns));
  } else {
    std::memcpy(tile + group * kFaceWidth * 4, in, kFaceWidth * 4);
  }
}

const std::byte* tile_at(const ConstTiles& tiles, std::int64_t tile_row, std::int64_t tile_column) {
  return tiles.data +
         tile_position(tiles.tile_rows, tiles.tile_columns, tile_row, tile_column) * tile_bytes(tiles.dtype);
}
std::byte* tile_at(const Tiles& tiles, std::int64_t tile_row, std::int64_t tile_column) {
  return tiles.data +
         tile_position(tiles.tile_rows, tiles.tile_columns, tile_row, tile_column) * tile_bytes(tiles.dtype);
}

} // namespace

void load_row(const ConstTiles& tiles, std::int64_t row, std::int64_t first, std::int64_t count, float* out) noexcept {
  const std::int64_t end = first + count;
  for (std::int64_t start = first / kFaceWidth * kFaceWidth; start < end; start += kFaceWidth) {
    std::array<float, kFaceWidth> values;
    load_group(tiles.dtype, tile_at(tiles, row / kTileHeight, start / kTileWidth),
               group_index(row % kTileHeight, start % kTileWidth / kFaceWidth), values.data());
    for (std::int64_t i = 0; i < kFaceWidth; ++i) {
      if (start + i >= first && start + i < end) out[start + i - first] = values[static_cast<std::size_t>(i)];
    }
  }
}

void store_row(const Tiles& tiles, std::int64_t row, const float* in, std::int64_t count) noexcept {
  for (std::int64_t start = 0; start < tiles.tile_columns * kTileWidth; start += kFaceWidth) {
    std::array<float, kFaceWidth> values{};
    for (std::int64_t i = 0; i < kFaceWidth && start + i < count; ++i) {
      values[static_cast<std::size_t>(i)] = in[start + i];
    }
    store_group(tiles.dtype, values.data(), tile_at(tiles, row / kTileHeight, start / kTileWidth),
                group_index(row % kTileHeight, start % kTileWidth / kFaceWidth));
  }
}

void load_tile(const ConstTiles& tiles, std::int64_t tile_row, std::int64_t tile_column, float* out) noexcept {
  const std::byte* tile = tile_at(tiles, tile_row, tile_column);
  for (std::int64_t row = 0; row < kTileHeight; ++row) {
    load_group(tiles.dtype, tile, group_index(row, 0), out + row * kTileWidth);
    load_group(tiles.dtype, tile, group_index(row, 1), out + row * kTileWidth + kFaceWidth);
  }
}

void load_tile_transposed(const ConstTiles& tiles, std::int64_t tile_row, std::int64_t tile_column,
                          float* out) noexcept {
  std::array<float, kTileElements> values;
  load_tile(tiles, tile_row, tile_column, values.data());
  for (std::int64_t i = 0; i < kTileHeight; ++i) {
    for (std::int64_t j = 0; j < kTileWidth; ++j) {
      out[j * kTileHeight + i] = values[static_cast<std::size_t>(i * kTileWidth + j)];
    }
  }
}

void store_tile(const Tiles& tiles, std::int64_t tile_row, std::int64_t tile_column, std::int64_t rows, const float* in,
                std::int64_t stride) noexcept {
  std::byte* tile = tile_at(tiles, tile_row, tile_column);
  constexpr std::array<float, kTileWidth> kZeros{};
  for (std::int64_t row = 0; row < kTileHeight; ++row) {
    const float* values = row < rows ? in + row * stride : kZeros.data();
    store_group(tiles.dtype, values, tile, group_index(row, 0));
    store_group(tiles.dtype, values + kFaceWidth, tile, group_index(row, 1));
  }
}

void store_product(const Tiles& tiles, std::int64_t tile_row, std::int64_t tile_column,
                   const ProductColumn& product) noexcept {
  for (std::int64_t first = 0; first < product.rows; first += kTileHeight, ++tile_row) {
    const std::int64_t rows = std::min(kTileHeight, product.rows - first);
    std::array<float, kTileElements> other{};
    if (product.residual.data != nullptr) load_tile(product.residual, tile_row, tile_column, other.data());
    std::array<float, kTileElements> values;
    for (std::int64_t i = 0; i < rows * kTileWidth; ++i) {
      float value = product.sums[first * kTileWidth + i];
      if (product.bias != nullptr) value += product.bias[i % kTileWidth];
      if (product.residual.data != nullptr) value += other[static_cast<std::size_t>(i)];
      values[static_cast<std::size_t>(i)] = product.relu && value < 0.0F ? 0.0F : value;
    }
    store_tile(tiles, tile_row, tile_column, rows, values.data(), kTileWidth);
  }
}

void pack_bf16_tile(const ConstTiles& tiles, std::int64_t tile_row, std::int64_t tile_column, std::int64_t rows,
                    std::int64_t count, std::byte* out, std::int64_t stride) noexcept {
  std::array<float, kTileElements> values;
  load_tile(tiles, tile_row, tile_column, values.data());
  for (std::int64_t row = 0; row < rows; ++row, out += stride) pack_bf16(values.data() + row * kTileWidth, count, out);
}

void clear_rows(const Tiles& tiles, std::int64_t row) noexcept {
  for (std::int64_t below = row; below < (row / kTileHeight + 1) * kTileHeight; ++below)
    store_row(tiles, below, nullptr, 0);
}

} // namespace tessera::kernels::scalar
