// The vector unit and the packer's accumulation against golden/numerics, bit for bit.

#include <cmath>

#include "tessera/numerics/bfloat16.hpp"
#include "tessera/numerics/sfpu.hpp"
#include "tests/numerics/golden_numerics.hpp"

namespace tessera::numerics {
namespace {

class SfpuGolden : public GoldenNumerics {
 protected:
  SfpuGolden() : GoldenNumerics("scalar_sfpu") {}

  static bool is_normal(std::uint32_t bits) { return std::isnormal(float_from_bits(bits)); }
  std::vector<std::uint32_t> widened(const std::string& name) {
    std::vector<std::uint32_t> all;
    for (const std::uint16_t bits : values<std::uint16_t>(name)) all.push_back(static_cast<std::uint32_t>(bits) << 16);
    return all;
  }
  /// Compares a function on finite normal inputs; `ulps` of bfloat16 it may be off.
  void expect_function(std::uint32_t (*function)(std::uint32_t), const std::string& in,
                       const std::vector<std::uint32_t>& expected, std::int64_t ulps) {
    const std::vector<std::uint32_t> x = widened(in);
    ASSERT_EQ(x.size(), expected.size());
    int differences = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (!is_normal(x[i])) continue;
      const std::uint32_t actual = function(x[i]);
      const auto distance =
          std::abs(static_cast<std::int64_t>(actual >> 16) - static_cast<std::int64_t>(expected[i] >> 16));
      const bool good = ulps == 0 ? actual == expected[i] : distance <= ulps;
      if (good) continue;
      if (++differences <= 5)
        ADD_FAILURE() << "f(" << float_from_bits(x[i]) << ") is " << float_from_bits(actual) << ", not "
                      << float_from_bits(expected[i]);
    }
    EXPECT_EQ(differences, 0);
  }
};

TEST_F(SfpuGolden, MultiplyAddIsThatOfBothArchitectures) {
  const auto a = values<std::uint32_t>("fma.a");
  const auto b = values<std::uint32_t>("fma.b");
  const auto c = values<std::uint32_t>("fma.c");
  for (const auto& [arch, name] :
       {std::pair{ArchKind::WORMHOLE, "fma.wormhole"}, {ArchKind::BLACKHOLE, "fma.blackhole"}}) {
    const auto expected = values<std::uint32_t>(name);
    int differences = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const std::uint32_t actual = sfpu::multiply_add(arch, a[i], b[i], c[i]);
      if (actual != expected[i] && ++differences <= 12)
        ADD_FAILURE() << name << std::hex << " " << a[i] << " * " << b[i] << " + " << c[i] << " is " << actual
                      << ", not " << expected[i];
    }
    EXPECT_EQ(differences, 0) << name;
  }
}

TEST_F(SfpuGolden, AccumulationInL1IsThePackers) {
  const auto old32 = values<std::uint32_t>("l1acc.fp32.old");
  const auto new32 = values<std::uint32_t>("l1acc.fp32.new");
  const auto out32 = values<std::uint32_t>("l1acc.fp32.out");
  for (std::size_t i = 0; i < old32.size(); ++i)
    ASSERT_EQ(l1_accumulate_float32(old32[i], new32[i]), out32[i]) << std::hex << old32[i] << " + " << new32[i];
  const auto old16 = values<std::uint16_t>("l1acc.bf16.old");
  const auto new16 = values<std::uint16_t>("l1acc.bf16.new");
  const auto out16 = values<std::uint16_t>("l1acc.bf16.out");
  for (std::size_t i = 0; i < old16.size(); ++i)
    ASSERT_EQ(l1_accumulate_bfloat16(old16[i], new16[i]), out16[i]) << std::hex << old16[i] << " + " << new16[i];
}

TEST_F(SfpuGolden, Exp) {
  expect_function(sfpu::exp_bfloat16, "sfpu.in", widened("sfpu.exp.bf16"), 0);
}
TEST_F(SfpuGolden, ExpApproximate) {
  expect_function(sfpu::exp_approximate, "sfpu.in", widened("sfpu.exp_approx.bf16"), 0);
}
TEST_F(SfpuGolden, Reciprocal) {
  expect_function(sfpu::reciprocal_bfloat16, "sfpu.in", widened("sfpu.recip.bf16"), 0);
  expect_function(sfpu::reciprocal_float32, "sfpu.in", values<std::uint32_t>("sfpu.recip.fp32"), 0);
}
TEST_F(SfpuGolden, Sqrt) {
  expect_function(sfpu::sqrt_bfloat16, "sfpu.sqrt.in", widened("sfpu.sqrt.bf16"), 0);
}
TEST_F(SfpuGolden, GeluApproximate) {
  expect_function(sfpu::gelu_approximate, "sfpu.in", widened("sfpu.gelu_approx.bf16"), 0);
}
TEST_F(SfpuGolden, SigmoidAndSiluWithinOneUlp) {
  expect_function(sfpu::sigmoid_bfloat16, "sfpu.in", widened("sfpu.sigmoid.bf16"), 1);
  expect_function(sfpu::silu_bfloat16, "sfpu.in", widened("sfpu.silu.bf16"), 1);
}

} // namespace
} // namespace tessera::numerics
