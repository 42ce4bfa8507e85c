#include "tessera/numerics/block_float.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tessera/numerics/bfloat16.hpp"

namespace tessera::numerics {
namespace {

constexpr DataType kBlockFormats[] = {DataType::BFLOAT8_B, DataType::BFLOAT4_B, DataType::BFLOAT2_B};

BlockGroup pack(DataType dtype, std::initializer_list<float> values) {
  std::array<float, kFaceWidth> group{};
  std::copy(values.begin(), values.end(), group.begin());
  return pack_group(dtype, group);
}

/// The card's packing of values that bfloat16 holds exactly.
BlockGroup device_pack(DataType dtype, std::initializer_list<float> values) {
  std::array<std::uint16_t, kFaceWidth> group{};
  std::size_t i = 0;
  for (const float value : values) group[i++] = to_bfloat16(value);
  return device_pack_group(dtype, group);
}

TEST(BlockFloatPack, SharesTheLargestExponent) {
  const BlockGroup group = pack(DataType::BFLOAT8_B, {1.0F, -8.0F, 0.5F});
  EXPECT_EQ(group.exponent, 130);
  EXPECT_EQ(group.codes[0], 8);
  EXPECT_EQ(group.codes[1], 0x80 | 64);
  EXPECT_EQ(group.codes[2], 4);
  EXPECT_EQ(group.codes[3], 0);
}

TEST(BlockFloatPack, TiesGoToEven) {
  EXPECT_EQ(pack(DataType::BFLOAT8_B, {1.0F, 64.5F / 64}).codes[1], 64);
  EXPECT_EQ(pack(DataType::BFLOAT8_B, {1.0F, 65.5F / 64}).codes[1], 66);
  EXPECT_EQ(pack(DataType::BFLOAT4_B, {1.0F, 4.5F / 4}).codes[1], 4);
  EXPECT_EQ(pack(DataType::BFLOAT4_B, {1.0F, 5.5F / 4}).codes[1], 6);
  EXPECT_EQ(pack(DataType::BFLOAT2_B, {1.0F, 0.5F}).codes[1], 0);
  EXPECT_EQ(pack(DataType::BFLOAT2_B, {1.0F, 0.75F}).codes[1], 1);
}

TEST(BlockFloatPack, LosesStickyBitsInTheAlignmentShift) {
  // 64.5 and a little is above the tie; shifted right by 6 the little is lost and the tie goes to even.
  const float above_tie = std::nextafter(64.5F / 64, 2.0F);
  EXPECT_EQ(pack(DataType::BFLOAT8_B, {above_tie}).codes[0], 65);
  const float above_lower_tie = std::nextafter(0.5F / 64, 2.0F);
  EXPECT_EQ(pack(DataType::BFLOAT8_B, {1.0F, above_lower_tie}).codes[1], 0);
}

TEST(BlockFloatPack, SaturatesInsteadOfRenormalising) {
  const float below_two = std::nextafter(2.0F, 0.0F);
  for (const DataType dtype : kBlockFormats) {
    const BlockGroup group = pack(dtype, {below_two, -below_two});
    const int limit = (1 << magnitude_bits(dtype)) - 1;
    EXPECT_EQ(group.exponent, 127) << to_string(dtype);
    EXPECT_EQ(group.codes[0], limit) << to_string(dtype);
    EXPECT_EQ(group.codes[1], (1 << magnitude_bits(dtype)) | limit) << to_string(dtype);
  }
}

TEST(BlockFloatPack, NeverMakesANegativeZero) {
  for (const DataType dtype : kBlockFormats) {
    const BlockGroup group = pack(dtype, {-0.0F, -1e-40F, 1.0F, -1e-6F});
    EXPECT_EQ(group.codes[0], 0) << to_string(dtype);
    EXPECT_EQ(group.codes[1], 0) << to_string(dtype);
    EXPECT_EQ(group.codes[3], 0) << to_string(dtype);
  }
}

TEST(BlockFloatPack, DropsDenormals) {
  const BlockGroup group = pack(DataType::BFLOAT8_B, {1e-39F, -1e-40F});
  EXPECT_EQ(group, BlockGroup{});
}

TEST(BlockFloatPack, InfTakesPartAsAnOrdinaryExponent) {
  const float inf = std::numeric_limits<float>::infinity();
  const BlockGroup group = pack(DataType::BFLOAT8_B, {inf, -inf, 1.0F, std::numeric_limits<float>::quiet_NaN()});
  EXPECT_EQ(group.exponent, 255);
  EXPECT_EQ(group.codes[2], 0);
  EXPECT_EQ(unpack_element(DataType::BFLOAT8_B, group.codes[0], group.exponent), inf);
  EXPECT_EQ(unpack_element(DataType::BFLOAT8_B, group.codes[1], group.exponent), -inf);
  EXPECT_TRUE(std::isnan(unpack_element(DataType::BFLOAT8_B, group.codes[3], group.exponent)));
}

TEST(BlockFloatUnpack, IsMagnitudeTimesScale) {
  for (const DataType dtype : kBlockFormats) {
    const int bits = magnitude_bits(dtype);
    for (int exponent = 7; exponent < 255; ++exponent) {
      for (int magnitude = 1; magnitude < 1 << bits; ++magnitude) {
        const double expected = std::ldexp(magnitude, exponent - 127 - (bits - 1));
        const auto e = static_cast<std::uint8_t>(exponent);
        EXPECT_EQ(unpack_element(dtype, static_cast<std::uint8_t>(magnitude), e), expected);
        EXPECT_EQ(unpack_element(dtype, static_cast<std::uint8_t>(magnitude | 1 << bits), e), -expected);
      }
    }
  }
}

TEST(BlockFloatUnpack, KeepsANegativeZero) {
  EXPECT_EQ(float_bits(unpack_element(DataType::BFLOAT8_B, 0x80, 127)), 0x80000000);
  EXPECT_EQ(float_bits(unpack_element(DataType::BFLOAT4_B, 0x8, 127)), 0x80000000);
}

TEST(BlockFloatUnpack, UnderflowsToZeroBelowTheArtefact) {
  // Magnitude 1 of BFLOAT8_B needs a shift by 6.
  EXPECT_EQ(float_bits(unpack_element(DataType::BFLOAT8_B, 0x81, 5)), 0U);
  EXPECT_EQ(float_bits(unpack_element(DataType::BFLOAT8_B, 0x03, 5)), 0x00400000U);
  EXPECT_EQ(float_bits(unpack_element(DataType::BFLOAT8_B, 0x01, 7)), 0x00800000U);
}

TEST(BlockFloatUnpack, InvertsPackOnRepresentableValues) {
  for (const DataType dtype : kBlockFormats) {
    const int limit = (1 << magnitude_bits(dtype)) - 1;
    for (int magnitude = 0; magnitude <= limit; ++magnitude) {
      std::array<float, kFaceWidth> values{};
      values[0] = unpack_element(dtype, static_cast<std::uint8_t>(limit), 120);
      values[1] = -unpack_element(dtype, static_cast<std::uint8_t>(magnitude), 120);
      const BlockGroup group = pack_group(dtype, values);
      EXPECT_EQ(unpack_element(dtype, group.codes[0], group.exponent), values[0]);
      EXPECT_EQ(unpack_element(dtype, group.codes[1], group.exponent), values[1]);
    }
  }
}

TEST(DeviceBlockFloatPack, TiesGoAwayFromZero) {
  EXPECT_EQ(device_pack(DataType::BFLOAT8_B, {1.0F, 64.5F / 64}).codes[1], 65);
  EXPECT_EQ(device_pack(DataType::BFLOAT8_B, {1.0F, -64.5F / 64}).codes[1], 0x80 | 65);
}

TEST(DeviceBlockFloatPack, TruncatesToTheNarrowerFormats) {
  EXPECT_EQ(device_pack(DataType::BFLOAT4_B, {1.0F, 1.9375F}).codes[1], 7);
  EXPECT_EQ(device_pack(DataType::BFLOAT4_B, {1.0F, 4.75F / 4}).codes[1], 4);
  EXPECT_EQ(pack(DataType::BFLOAT4_B, {1.0F, 4.75F / 4}).codes[1], 5);
  EXPECT_EQ(device_pack(DataType::BFLOAT2_B, {1.0F, 0.75F}).codes[1], 0);
}

TEST(DeviceBlockFloatPack, SaturatesAndVanishesByDistance) {
  const BlockGroup group = device_pack(DataType::BFLOAT8_B, {from_bfloat16(0x3FFF), 1.0F / 128, 1.0F / 256});
  EXPECT_EQ(group.codes[0], 127);
  EXPECT_EQ(group.codes[1], 1);
  EXPECT_EQ(group.codes[2], 0);
}

TEST(DeviceBlockFloatUnpack, NegativeZeroMeansMinusInf) {
  EXPECT_EQ(device_unpack_element(DataType::BFLOAT8_B, 0x80, 127), 0xFF80);
  EXPECT_EQ(device_unpack_element(DataType::BFLOAT2_B, 0x2, 127), 0xFF80);
  EXPECT_EQ(device_unpack_element(DataType::BFLOAT8_B, 0x00, 127), 0x0000);
}

TEST(DeviceBlockFloatUnpack, WrapsTheExponent) {
  EXPECT_EQ(device_unpack_element(DataType::BFLOAT8_B, 0x01, 5), 255 << 7);
}

TEST(BlockFloatGroups, ReadWhatWasWritten) {
  for (const DataType dtype : kBlockFormats) {
    std::vector<std::byte> tile(static_cast<std::size_t>(tile_bytes(dtype)));
    for (std::int64_t g = 0; g < 64; ++g) {
      BlockGroup group{.exponent = static_cast<std::uint8_t>(g)};
      for (std::size_t i = 0; i < 16; ++i) {
        group.codes[i] =
            static_cast<std::uint8_t>((static_cast<std::size_t>(g) * 5 + i * 3) % (1U << element_bits(dtype)));
      }
      write_group(dtype, group, tile.data(), g);
      EXPECT_EQ(read_group(dtype, tile.data(), g), group);
    }
    EXPECT_EQ(read_group(dtype, tile.data(), 0).exponent, 0);
    EXPECT_EQ(read_group(dtype, tile.data(), 17).exponent, 17);
  }
}

TEST(BlockFloatGroups, PutEvenElementsIntoLowBits) {
  std::vector<std::byte> tile(static_cast<std::size_t>(tile_bytes(DataType::BFLOAT4_B)));
  BlockGroup group;
  group.codes[0] = 0x3;
  group.codes[1] = 0xA;
  write_group(DataType::BFLOAT4_B, group, tile.data(), 0);
  EXPECT_EQ(std::to_integer<int>(tile[64]), 0xA3);
}

} // namespace
} // namespace tessera::numerics
