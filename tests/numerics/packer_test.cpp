// Rows of Dst as L1 holds them: the same as a whole tile through the packer and back through the unpacker.

#include "tessera/numerics/packer.hpp"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <random>
#include <vector>

#include "tessera/numerics/vector_function.hpp"

namespace tessera::numerics {
namespace {

/// Random patterns, exponents near each other, with zeros, Inf and NaN among them.
std::vector<std::uint32_t> random_patterns(std::uint32_t mask) {
  std::mt19937 random(7);
  std::vector<std::uint32_t> words(kTileElements);
  for (std::uint32_t& word : words) {
    const auto bits = static_cast<std::uint32_t>(random());
    word = ((bits & 0x807FFFFF) | (118 + random() % 12) << 23) & mask;
    if (random() % 50 == 0) word = (random() % 2 == 0 ? 0x7FC00000 : 0x80000000) & mask;
  }
  return words;
}

TEST(PackValues, EqualsTheTilePackerAndUnpacker) {
  for (const DataType dtype : {DataType::BFLOAT16, DataType::BFLOAT8_B, DataType::BFLOAT4_B, DataType::BFLOAT2_B}) {
    for (const PackMode mode : {PackMode::Default, PackMode::Precise}) {
      for (const DstFormat format : {DstFormat::BFLOAT16, DstFormat::FLOAT32}) {
        const bool narrow = format == DstFormat::BFLOAT16;
        const std::vector<std::uint32_t> dst = random_patterns(narrow ? 0xFFFF0000 : 0xFFFFFFFF);
        std::vector<std::byte> tile(static_cast<std::size_t>(tile_bytes(dtype)));
        if (narrow) {
          std::array<std::uint16_t, kTileElements> values;
          for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::uint16_t>(dst[i] >> 16);
          device_pack_tile(std::span<const std::uint16_t, kTileElements>(values), dtype, mode, tile.data());
        } else {
          std::array<float, kTileElements> values;
          for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::bit_cast<float>(dst[i]);
          device_pack_tile(std::span<const float, kTileElements>(values), dtype, mode, tile.data());
        }
        std::array<std::uint16_t, kTileElements> expected;
        device_unpack_tile(dtype, tile.data(), expected);
        std::vector<std::uint32_t> actual(dst.size());
        pack_values(format, dtype, mode, dst, actual);
        for (std::size_t i = 0; i < actual.size(); ++i)
          ASSERT_EQ(actual[i], std::uint32_t{expected[i]} << 16) << to_string(dtype) << " element " << i;
      }
    }
  }
}

TEST(PackValues, KeepsTheBitsOfAWideDstInFloat32) {
  const std::vector<std::uint32_t> dst = random_patterns(0xFFFFFFFF);
  std::vector<std::uint32_t> actual(dst.size());
  pack_values(DstFormat::FLOAT32, DataType::FLOAT32, PackMode::Default, dst, actual);
  EXPECT_EQ(actual, dst);
}

std::uint32_t bits(float value) {
  return std::bit_cast<std::uint32_t>(value);
}

TEST(VectorFunctions, AreTheKernelsWhereThereIsOne) {
  const VectorUnit narrow{};
  const VectorUnit approximate{.approximate = true};
  const VectorUnit wide{.dst = DstFormat::FLOAT32};
  for (const float x : {-3.5F, -0.25F, 0.5F, 1.0F, 2.75F}) {
    EXPECT_EQ(apply(narrow, TileFunction::EXP, bits(x), 1.0F), sfpu::exp_bfloat16(bits(x)));
    EXPECT_EQ(apply(approximate, TileFunction::EXP, bits(x), 1.0F), sfpu::exp_approximate(bits(x)));
    EXPECT_EQ(apply(narrow, TileFunction::RECIPROCAL, bits(x), 1.0F), sfpu::reciprocal_bfloat16(bits(x)));
    EXPECT_EQ(apply(wide, TileFunction::RECIPROCAL, bits(x), 1.0F), sfpu::reciprocal_float32(bits(x)));
    EXPECT_EQ(apply(narrow, TileFunction::SILU, bits(x), 1.0F), sfpu::silu_bfloat16(bits(x)));
    EXPECT_EQ(apply(approximate, TileFunction::GELU, bits(x), 1.0F), sfpu::gelu_approximate(bits(x)));
  }
}

TEST(VectorFunctions, ModelledOnesAreTheExactValueRounded) {
  const VectorUnit wide{.dst = DstFormat::FLOAT32};
  EXPECT_EQ(apply(wide, TileFunction::EXP, bits(1.0F), 2.0F), bits(7.389056F));
  EXPECT_EQ(apply(wide, TileFunction::RSQRT, bits(0.25F), 1.0F), bits(2.0F));
  EXPECT_EQ(apply(wide, TileFunction::TANH, bits(100.0F), 1.0F), bits(1.0F));
  EXPECT_EQ(apply(wide, TileFunction::GELU, bits(1.0F), 1.0F), bits(static_cast<float>(0.8413447460685429)));
  // 16 bits of Dst: ties away from zero. 1 / sqrt(2) lies between 0.70703125 and 0.7109375.
  EXPECT_EQ(apply(VectorUnit{}, TileFunction::RSQRT, bits(2.0F), 1.0F), bits(0.70703125F));
}

TEST(VectorFunctions, OfTwoValues) {
  const VectorUnit wide{.dst = DstFormat::FLOAT32};
  EXPECT_EQ(apply(wide, TileFunction::ADD, bits(1.5F), bits(0x1p-20F)), bits(1.5F + 0x1p-20F));
  EXPECT_EQ(apply(wide, TileFunction::MUL, bits(1.1F), bits(1.3F)), bits(1.1F * 1.3F));
  EXPECT_EQ(apply(wide, TileFunction::MAX, bits(-2.0F), bits(-1.0F)), bits(-1.0F));
  EXPECT_EQ(apply(wide, TileFunction::RELU, bits(-2.0F), 1.0F), 0U);
}

} // namespace
} // namespace tessera::numerics
