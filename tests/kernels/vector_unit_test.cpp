// The vectorised vector unit and the packer's sums in L1 against the scalar ones, bit for bit.

#include "kernels_fixture.hpp"

namespace tessera::kernels {
namespace {

using Words = std::vector<std::uint32_t>;

class VectorUnitTest : public KernelsTest {
 protected:
  /// Exponents from `least` to `most`, with zeros, denormals, Inf and NaN where the range has 0 and 255.
  Words words(std::int64_t count, std::uint32_t least, std::uint32_t most, std::uint32_t mask = 0xFFFFFFFF) {
    Words result(static_cast<std::size_t>(count));
    for (std::uint32_t& word : result) {
      const auto bits = static_cast<std::uint32_t>(random());
      const std::uint32_t exponent = least + static_cast<std::uint32_t>(random()) % (most - least + 1);
      word = ((bits & 0x807FFFFF) | exponent << 23) & mask;
      if (random() % 16 == 0) word &= 0xFF800000; // powers of two, zero, Inf
    }
    return result;
  }
  /// All bfloat16 patterns but those of Inf and NaN, and denormals.
  static Words all_normal_bfloat16() {
    Words result;
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
      const std::uint32_t exponent = bits >> 7 & 0xFF;
      if ((exponent != 0 && exponent != 255) || (bits & 0x7FFF) == 0) result.push_back(bits << 16);
    }
    result.resize(result.size() / 32 * 32);
    return result;
  }
};

TEST_F(VectorUnitTest, MultiplyAddEqualsTheOracle) {
  constexpr std::int64_t kCount = 1 << 14;
  struct Range {
    std::uint32_t least, most;
  };
  for (const auto& [least, most] : {Range{120, 134}, {127, 127}, {1, 80}, {60, 70}, {170, 254}, {0, 255}}) {
    for (int repeat = 0; repeat < 8; ++repeat) {
      const Words a = words(kCount, least, most);
      const Words b = words(kCount, least, most);
      Words c = words(kCount, least, most);
      for (std::size_t i = 0; i < c.size(); i += 3) // sums that cancel, but for a few last places
        c[i] =
            (std::bit_cast<std::uint32_t>(-std::bit_cast<float>(a[i]) * std::bit_cast<float>(b[i]))) ^ (random() % 4);
      for (const bool wormhole : {true, false}) {
        Words expected(c.size());
        Words actual(c.size());
        oracle->vector_unit_multiply_add(wormhole, a.data(), b.data(), c.data(), kCount, expected.data());
        tested->vector_unit_multiply_add(wormhole, a.data(), b.data(), c.data(), kCount, actual.data());
        for (std::size_t i = 0; i < c.size(); ++i)
          ASSERT_EQ(actual[i], expected[i])
              << std::hex << a[i] << " * " << b[i] << " + " << c[i] << " Wormhole " << wormhole;
      }
    }
  }
}

TEST_F(VectorUnitTest, FunctionsEqualTheOracle) {
  for (const auto function : {TileFunction::EXP, TileFunction::RECIPROCAL, TileFunction::RSQRT, TileFunction::TANH,
                              TileFunction::SIGMOID, TileFunction::SILU, TileFunction::GELU, TileFunction::GELU_TANH,
                              TileFunction::RELU, TileFunction::ADD_SCALAR, TileFunction::MUL_SCALAR}) {
    for (const bool dst_is_16_bit : {true, false}) {
      for (const bool approximate : {false, true}) {
        for (const bool wormhole : {true, false}) {
          for (const float scalar : {1.0F, 0.3F}) {
            const VectorUnitMode mode{wormhole, dst_is_16_bit, approximate};
            Words expected = all_normal_bfloat16();
            if (!dst_is_16_bit) expected = words(1 << 12, 1, 254);
            Words actual = expected;
            const Words x = expected;
            const auto count = std::ssize(x);
            oracle->vector_unit_function(mode, function, scalar, count, expected.data());
            tested->vector_unit_function(mode, function, scalar, count, actual.data());
            for (std::size_t i = 0; i < x.size(); ++i)
              ASSERT_EQ(actual[i], expected[i])
                  << "function " << static_cast<int>(function) << " of " << std::bit_cast<float>(x[i])
                  << ", 16-bit Dst " << dst_is_16_bit << ", approximate " << approximate;
          }
        }
      }
    }
  }
}

TEST_F(VectorUnitTest, SumsInL1EqualTheOracle) {
  constexpr std::int64_t kCount = 1 << 14;
  for (const DataType dtype : {DataType::FLOAT32, DataType::BFLOAT16}) {
    const std::uint32_t mask = dtype == DataType::FLOAT32 ? 0xFFFFFFFF : 0xFFFF0000;
    for (const std::uint32_t least : {0U, 110U, 127U}) {
      const Words added = words(kCount, least, least == 0 ? 255 : least + 20, mask);
      Words expected = words(kCount, least, least == 0 ? 255 : least + 20, mask);
      for (std::size_t i = 0; i < expected.size(); i += 5) expected[i] = added[i] ^ 0x80000000;
      Words actual = expected;
      oracle->l1_accumulate(dtype, added.data(), kCount, expected.data());
      tested->l1_accumulate(dtype, added.data(), kCount, actual.data());
      for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_EQ(actual[i], expected[i]) << std::hex << added[i];
    }
  }
}

} // namespace
} // namespace tessera::kernels
