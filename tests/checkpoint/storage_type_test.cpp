#include "tessera/checkpoint/storage_type.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

namespace tessera::checkpoint {
namespace {

TEST(StorageType, NamesParseBackToTheirTypes) {
  for (int i = 0; i <= static_cast<int>(StorageType::BOOL); ++i) {
    const auto type = static_cast<StorageType>(i);
    EXPECT_EQ(parse_storage_type(to_string(type)), type) << to_string(type);
  }
  EXPECT_EQ(parse_storage_type("F8_E4M3"), std::nullopt);
  EXPECT_EQ(parse_storage_type("f32"), std::nullopt);
}

TEST(StorageType, SizesAreThoseOfTheFormat) {
  EXPECT_EQ(element_size(StorageType::F64), 8u);
  EXPECT_EQ(element_size(StorageType::F32), 4u);
  EXPECT_EQ(element_size(StorageType::BF16), 2u);
  EXPECT_EQ(element_size(StorageType::U16), 2u);
  EXPECT_EQ(element_size(StorageType::U32), 4u);
  EXPECT_EQ(element_size(StorageType::U64), 8u);
  EXPECT_EQ(element_size(StorageType::BOOL), 1u);
}

TEST(HalfToFloat, EqualsTheDefinitionForEveryFiniteBitPattern) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const int exponent = static_cast<int>(bits >> 10 & 0x1f);
    const int mantissa = static_cast<int>(bits & 0x3ff);
    if (exponent == 0x1f) continue;
    // IEEE 754-2008, 3.4: subnormals have exponent 1 and no hidden bit.
    const double magnitude =
        std::ldexp(exponent == 0 ? mantissa : 1024 + mantissa, (exponent == 0 ? 1 : exponent) - 15 - 10);
    const float expected = static_cast<float>((bits & 0x8000) != 0 ? -magnitude : magnitude);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(half_to_float(static_cast<std::uint16_t>(bits))),
              std::bit_cast<std::uint32_t>(expected))
        << bits;
  }
}

TEST(HalfToFloat, KeepsInfinityAndNan) {
  EXPECT_EQ(half_to_float(0x7c00), INFINITY);
  EXPECT_EQ(half_to_float(0xfc00), -INFINITY);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(half_to_float(0x7e01)), 0x7fc02000u);
}

TEST(Bfloat16ToFloat, IsTheUpperHalfOfAFloat) {
  EXPECT_EQ(bfloat16_to_float(0x3f80), 1.0f);
  EXPECT_EQ(bfloat16_to_float(0xc000), -2.0f);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(bfloat16_to_float(0x7fc1)), 0x7fc10000u);
}

} // namespace
} // namespace tessera::checkpoint
