#include "tessera/numerics/bfloat16.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace tessera::numerics {
namespace {

TEST(Bfloat16, RoundsToNearest) {
  EXPECT_EQ(to_bfloat16(float_from_bits(0x3F807FFF)), 0x3F80);
  EXPECT_EQ(to_bfloat16(float_from_bits(0x3F808001)), 0x3F81);
}

TEST(Bfloat16, TiesGoToEven) {
  EXPECT_EQ(to_bfloat16(float_from_bits(0x3F808000)), 0x3F80);
  EXPECT_EQ(to_bfloat16(float_from_bits(0x3F818000)), 0x3F82);
}

TEST(Bfloat16, KeepsDenormalsAndNegativeZero) {
  EXPECT_EQ(to_bfloat16(float_from_bits(0x00410000)), 0x0041);
  EXPECT_EQ(to_bfloat16(-0.0F), 0x8000);
}

TEST(Bfloat16, OverflowsToInf) {
  EXPECT_EQ(to_bfloat16(std::numeric_limits<float>::max()), 0x7F80);
  EXPECT_EQ(to_bfloat16(-std::numeric_limits<float>::max()), 0xFF80);
}

TEST(Bfloat16, MakesEveryNanTheSame) {
  EXPECT_EQ(to_bfloat16(float_from_bits(0x7F800001)), 0x7FC0);
  EXPECT_EQ(to_bfloat16(float_from_bits(0xFFFFFFFF)), 0x7FC0);
}

TEST(Bfloat16, WidensExactly) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = from_bfloat16(static_cast<std::uint16_t>(bits));
    EXPECT_EQ(float_bits(value), bits << 16);
    const bool is_nan = (bits & 0x7FFF) > 0x7F80;
    EXPECT_EQ(to_bfloat16(value), is_nan ? 0x7FC0 : bits);
  }
}

} // namespace
} // namespace tessera::numerics
