#include "tessera/numerics/tile_codec.hpp"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/numerics/bfloat16.hpp"

namespace tessera::numerics {
namespace {

/// The first element of the BFLOAT16 tile that the card packs from a Dst whose first element is `value`.
template <typename Dst>
std::uint16_t packed_bfloat16(Dst value) {
  std::array<Dst, kTileElements> dst{};
  dst[0] = value;
  std::vector<std::byte> tile(static_cast<std::size_t>(tile_bytes(DataType::BFLOAT16)));
  device_pack_tile(dst, DataType::BFLOAT16, PackMode::Default, tile.data());
  std::uint16_t first = 0;
  std::memcpy(&first, tile.data(), sizeof(first));
  return first;
}

/// The first code of the BFLOAT8_B tile packed from a Dst that holds 1 and `value` in one group.
template <typename Dst>
int packed_code(Dst one, Dst value, PackMode mode) {
  std::array<Dst, kTileElements> dst{};
  dst[0] = value;
  dst[1] = one;
  std::vector<std::byte> tile(static_cast<std::size_t>(tile_bytes(DataType::BFLOAT8_B)));
  device_pack_tile(dst, DataType::BFLOAT8_B, mode, tile.data());
  return std::to_integer<int>(tile[64]);
}

TEST(PackTile, KeepsFacesInOrder) {
  std::vector<float> values(kTileElements);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  std::vector<std::byte> tile(static_cast<std::size_t>(tile_bytes(DataType::FLOAT32)));
  pack_tile(DataType::FLOAT32, values.data(), kTileWidth, tile.data());
  for (std::int64_t row = 0; row < kTileHeight; ++row) {
    for (std::int64_t column = 0; column < kTileWidth; ++column) {
      float stored = -1;
      std::memcpy(&stored, tile.data() + tile_element(row, column) * 4, 4);
      EXPECT_EQ(stored, static_cast<float>(row * kTileWidth + column));
    }
  }
}

TEST(PackTile, ReadsRowsByStride) {
  std::vector<float> values(32 * 40, 9.0F);
  for (std::size_t row = 0; row < 32; ++row) {
    for (std::size_t column = 0; column < 32; ++column) values[row * 40 + column] = static_cast<float>(row) - 3.0F;
  }
  for (const DataType dtype : {DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B}) {
    std::vector<std::byte> tile(static_cast<std::size_t>(tile_bytes(dtype)));
    pack_tile(dtype, values.data(), 40, tile.data());
    std::vector<float> back(32 * 40, 9.0F);
    unpack_tile(dtype, tile.data(), back.data(), 40);
    EXPECT_EQ(back, values) << to_string(dtype);
  }
}

TEST(PackTile, RefusesIntegers) {
  std::vector<float> values(kTileElements);
  std::vector<std::byte> tile(4096);
  EXPECT_THROW(pack_tile(DataType::UINT32, values.data(), kTileWidth, tile.data()), base::Unsupported);
  EXPECT_THROW(unpack_tile(DataType::INT32, tile.data(), values.data(), kTileWidth), base::Unsupported);
}

TEST(DevicePack, BringsNanToInfAndZerosToPlusZero) {
  EXPECT_EQ(packed_bfloat16(std::uint16_t{0xFFC1}), 0xFF80);
  EXPECT_EQ(packed_bfloat16(std::uint16_t{0x8000}), 0);
  EXPECT_EQ(packed_bfloat16(std::uint16_t{0x807F}), 0);
  EXPECT_EQ(packed_bfloat16(std::numeric_limits<float>::quiet_NaN()), 0x7F80);
  EXPECT_EQ(packed_bfloat16(-0.0F), 0);
}

TEST(DevicePack, RoundsFp32DstWithTiesAway) {
  EXPECT_EQ(packed_bfloat16(float_from_bits(0x3F808000)), 0x3F81);
  EXPECT_EQ(packed_bfloat16(float_from_bits(0x3F807FFF)), 0x3F80);
  EXPECT_EQ(packed_bfloat16(std::numeric_limits<float>::max()), 0x7F80);
}

TEST(DevicePack, KeepsFp32BitsFromFp32Dst) {
  std::array<float, kTileElements> dst{};
  dst[0] = -0.0F;
  dst[1] = float_from_bits(0x00000001);
  dst[2] = float_from_bits(0x7FC12345);
  std::vector<std::byte> tile(static_cast<std::size_t>(tile_bytes(DataType::FLOAT32)));
  device_pack_tile(dst, DataType::FLOAT32, PackMode::Default, tile.data());
  EXPECT_EQ(std::memcmp(tile.data(), dst.data(), 12), 0);
}

TEST(DevicePack, RoundsTwiceByDefault) {
  // Mantissa 1 of 128, one binade down: rounded first to 2, then code 33; at once (129 + 2) >> 2 = 32.
  EXPECT_EQ(packed_code<std::uint16_t>(0x3F80, 0x3F01, PackMode::Default), 33);
  EXPECT_EQ(packed_code<std::uint16_t>(0x3F80, 0x3F01, PackMode::Precise), 32);
  EXPECT_EQ(packed_code<float>(1.0F, from_bfloat16(0x3F01), PackMode::Default), 33);
  EXPECT_EQ(packed_code<float>(1.0F, from_bfloat16(0x3F01), PackMode::Precise), 32);
}

TEST(DevicePack, PreciseTruncatesFp32Dst) {
  EXPECT_EQ(packed_code<float>(1.0F, float_from_bits(0x3F80FFFF), PackMode::Precise), 64);
}

TEST(DeviceUnpack, TruncatesFp32AndFlushesItsDenormals) {
  std::array<float, kTileElements> values{};
  values[0] = float_from_bits(0x3F80FFFF);
  values[1] = float_from_bits(0x80400000);
  std::vector<std::byte> tile(static_cast<std::size_t>(tile_bytes(DataType::FLOAT32)));
  pack_tile(DataType::FLOAT32, values.data(), kTileWidth, tile.data());
  std::array<std::uint16_t, kTileElements> src{};
  device_unpack_tile(DataType::FLOAT32, tile.data(), src);
  EXPECT_EQ(src[0], 0x3F80);
  EXPECT_EQ(src[1], 0x8000);
}

} // namespace
} // namespace tessera::numerics
