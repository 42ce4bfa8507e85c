// The vectorised matrix unit against the scalar one, bit for bit.

#include <functional>

#include "kernels_fixture.hpp"

namespace tessera::kernels {
namespace {

using Pattern = std::function<std::uint32_t()>;

class MatrixUnitTile : public KernelsTest {
 protected:
  /// Operands of a kind: some rows and a tile, which `depth` tiles of k accumulate.
  void expect_equal(const std::string& kind, const Pattern& in0_value, const Pattern& in1_value) {
    constexpr std::int64_t kRows = 5;
    for (int phases = 1; phases <= 4; ++phases) {
      for (const bool dst_is_16_bit : {false, true}) {
        for (const bool fault : {false, true}) {
          const MatrixUnitMode mode{.phases = phases, .dst_is_16_bit = dst_is_16_bit, .cancellation_fault = fault};
          std::vector<std::uint32_t> expected(kRows * 32, 0);
          std::vector<std::uint32_t> actual = expected;
          for (int tile = 0; tile < 3; ++tile) {
            std::vector<std::uint32_t> in0(kRows * 40);
            std::vector<std::uint32_t> in1(32 * 32);
            // A 16-bit Dst goes with operands in bfloat16, a 32-bit one with TF32.
            const std::uint32_t mask = dst_is_16_bit ? 0xFFFF0000 : 0xFFFFE000;
            for (std::uint32_t& value : in0) value = in0_value() & mask;
            for (std::uint32_t& value : in1) value = in1_value() & mask;
            oracle->matrix_unit_tile(mode, in0.data(), 40, kRows, in1.data(), expected.data(), 32);
            tested->matrix_unit_tile(mode, in0.data(), 40, kRows, in1.data(), actual.data(), 32);
            ASSERT_EQ(actual, expected) << kind << ", " << phases << " phases, " << (dst_is_16_bit ? 16 : 32)
                                        << "-bit Dst, tile " << tile;
          }
        }
      }
    }
  }

  Pattern normal(float deviation) {
    return [this, deviation] { return std::bit_cast<std::uint32_t>(normals(1, deviation).front()); };
  }
  /// Exponents from `least` to `most`, one in eight zero.
  Pattern exponents(std::uint32_t least, std::uint32_t most) {
    return [this, least, most] {
      const auto bits = static_cast<std::uint32_t>(random());
      const std::uint32_t exponent = least + bits % (most - least + 1);
      return random() % 8 == 0 ? bits & 0x80000000 : (bits & 0x807FFFFF) | exponent << 23;
    };
  }
};

TEST_F(MatrixUnitTile, EqualsTheOracle) {
  for (int repeat = 0; repeat < 4; ++repeat) {
    expect_equal("normal", normal(1.0F), normal(0.02F));
    expect_equal("spread exponents", exponents(100, 150), exponents(110, 140));
    expect_equal("the whole fast range", exponents(72, 175), exponents(72, 175));
    expect_equal("at the fast range's edges", exponents(70, 76), exponents(170, 178));
    expect_equal("small", exponents(1, 80), exponents(1, 80));
    expect_equal("large", exponents(170, 255), exponents(170, 255));
    expect_equal("any exponent", exponents(0, 255), exponents(0, 255));
    expect_equal(
        "zeros", [] { return 0; }, [] { return 0x80000000; });
    expect_equal("one exponent", exponents(127, 127), exponents(127, 127));
  }
}

TEST_F(MatrixUnitTile, EqualsTheOracleWhereSumsCancel) {
  // Each row of in1 is the one before with the other sign, but for the last places.
  for (int repeat = 0; repeat < 8; ++repeat) {
    std::uint32_t last = 0;
    int count = 0;
    expect_equal(
        "cancelling", [] { return 0x3F800000; },
        [&] {
          if (count++ % 2 == 0) last = normal(1.0F)();
          return count % 2 == 1 ? last : (last ^ 0x80000000) + (random() % 3 << 13);
        });
  }
}

/// Element-wise products and sums of `kind`.
class MatrixUnitElements : public MatrixUnitTile {
 protected:
  void expect_equal_elements(const std::string& kind, const Pattern& value) {
    constexpr std::int64_t kCount = 96;
    for (const bool dst_is_16_bit : {false, true}) {
      const std::uint32_t mask = dst_is_16_bit ? 0xFFFF0000 : 0xFFFFE000;
      for (const bool fault : {false, true}) {
        for (int phases = 1; phases <= 4; ++phases) {
          const MatrixUnitMode mode{.phases = phases, .dst_is_16_bit = dst_is_16_bit, .cancellation_fault = fault};
          std::vector<std::uint32_t> a(kCount);
          std::vector<std::uint32_t> b(kCount);
          std::vector<std::uint32_t> dst(kCount);
          for (std::size_t i = 0; i < a.size(); ++i) {
            a[i] = value() & mask;
            b[i] = value() & mask;
            dst[i] = value() & (dst_is_16_bit ? 0xFFFF0000 : 0xFFFFFFFF);
            if (i % 8 == 7) b[i] = a[i] ^ 0x80000000; // sums that cancel
          }
          std::vector<std::uint32_t> expected = dst;
          std::vector<std::uint32_t> actual = dst;
          oracle->matrix_unit_multiply(mode, a.data(), b.data(), kCount, expected.data());
          tested->matrix_unit_multiply(mode, a.data(), b.data(), kCount, actual.data());
          ASSERT_EQ(actual, expected) << kind << ", products, " << phases << " phases, 16-bit Dst " << dst_is_16_bit;
          for (const std::uint32_t signs : {0U, 0x80000000U}) {
            oracle->matrix_unit_add(mode, a.data(), b.data(), signs, kCount, expected.data());
            tested->matrix_unit_add(mode, a.data(), b.data(), signs, kCount, actual.data());
            ASSERT_EQ(actual, expected) << kind << ", sums, 16-bit Dst " << dst_is_16_bit;
          }
        }
      }
    }
  }
};

TEST_F(MatrixUnitElements, EqualTheOracle) {
  for (int repeat = 0; repeat < 20; ++repeat) {
    expect_equal_elements("normal", normal(1.0F));
    expect_equal_elements("near each other", exponents(120, 134));
    expect_equal_elements("one exponent", exponents(127, 127));
    expect_equal_elements("small", exponents(1, 80));
    expect_equal_elements("large", exponents(170, 255));
    expect_equal_elements("any exponent", exponents(0, 255));
  }
}

} // namespace
} // namespace tessera::kernels
