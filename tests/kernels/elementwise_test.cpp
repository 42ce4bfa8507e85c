#include <gmock/gmock.h>

#include "kernels_fixture.hpp"

namespace tessera::kernels {
namespace {

using Elementwise = KernelsTest;

/// Distance in units of the last place of `expected`.
double ulps(float actual, double expected) {
  const float nearest = static_cast<float>(expected);
  const double unit = static_cast<double>(std::nextafter(std::abs(nearest), INFINITY)) - std::abs(nearest);
  return std::abs(actual - expected) / unit;
}

TEST_F(Elementwise, SumsAndProductsEqualTheOracle) {
  using Binary = void (*)(const float*, const float*, std::int64_t, float*) noexcept;
  for (const auto& [actual_op, expected_op] :
       {std::pair<Binary, Binary>{tested->add, oracle->add}, std::pair<Binary, Binary>{tested->mul, oracle->mul}}) {
    for (std::int64_t count = 0; count <= kMostSizes; ++count) {
      for (const std::size_t offset : {0U, 1U}) {
        const std::vector<float> a = any_floats(count + 1);
        const std::vector<float> b = any_floats(count + 1);
        std::vector<float> expected(static_cast<std::size_t>(count + 2), 7.0F);
        std::vector<float> actual = expected;
        expected_op(a.data() + offset, b.data() + offset, count, expected.data() + offset);
        actual_op(a.data() + offset, b.data() + offset, count, actual.data() + offset);
        ASSERT_EQ(bits_of(actual), bits_of(expected)) << "count " << count;
        std::vector<float> in_place = a;
        actual_op(in_place.data(), b.data(), count, in_place.data());
        actual_op(a.data(), b.data(), count, actual.data());
        in_place.resize(static_cast<std::size_t>(count));
        actual.resize(static_cast<std::size_t>(count));
        ASSERT_EQ(bits_of(in_place), bits_of(actual));
      }
    }
  }
}

TEST_F(Elementwise, RotationEqualsTheOracle) {
  for (std::int64_t count = 0; count <= kMostSizes + 1; count += 2) {
    for (const std::size_t offset : {0U, 1U}) {
      const std::vector<float> x = any_floats(count + 1);
      std::vector<float> cos = normals(count + 1);
      std::vector<float> sin = normals(count + 1);
      std::vector<float> expected(static_cast<std::size_t>(count + 2), 7.0F);
      std::vector<float> actual = expected;
      oracle->rotate_pairs(x.data() + offset, cos.data() + offset, sin.data() + offset, count,
                           expected.data() + offset);
      tested->rotate_pairs(x.data() + offset, cos.data() + offset, sin.data() + offset, count, actual.data() + offset);
      ASSERT_EQ(bits_of(actual), bits_of(expected)) << "count " << count;
    }
  }
}

TEST_F(Elementwise, RotationTurnsByTheAngle) {
  const std::array<float, 4> x = {1.0F, 0.0F, 0.0F, 2.0F};
  const std::array<float, 4> cos = {0.0F, 0.0F, 0.6F, 0.6F};
  const std::array<float, 4> sin = {1.0F, 1.0F, 0.8F, 0.8F};
  std::array<float, 4> out{};
  tested->rotate_pairs(x.data(), cos.data(), sin.data(), 4, out.data());
  EXPECT_THAT(out, testing::Pointwise(testing::FloatEq(), {0.0F, 1.0F, -1.6F, 1.2F}));
}

TEST_F(Elementwise, SiluIsAccurate) {
  // Over the whole range where the result is a normal number; 1 + exp, the division and exp itself round: 4 ulp.
  std::vector<float> x;
  for (double value = -86; value <= 90; value += 0.0037) x.push_back(static_cast<float>(value));
  std::vector<float> y(x.size());
  tested->silu(x.data(), std::ssize(x), y.data());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double exact = x[i] / (1 + std::exp(-static_cast<double>(x[i])));
    ASSERT_LE(ulps(y[i], exact), 4.0) << "x = " << x[i];
  }
}

TEST_F(Elementwise, SiluAgreesWithTheOracleOnSpecialValues) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> x = {0.0F, -0.0F, inf, std::nanf(""), 100.0F, 1e30F, -100.0F, -1e30F, 1e-40F, -1e-40F};
  std::vector<float> expected(x.size());
  std::vector<float> actual(x.size());
  oracle->silu(x.data(), std::ssize(x), expected.data());
  tested->silu(x.data(), std::ssize(x), actual.data());
  EXPECT_EQ(bits_of(actual), bits_of(expected));
}

TEST_F(Elementwise, SiluTakesEverySize) {
  const std::vector<float> x = normals(kMostSizes + 1, 3.0F);
  for (std::int64_t count = 0; count <= kMostSizes; ++count) {
    std::vector<float> actual(static_cast<std::size_t>(count + 2), 7.0F);
    std::vector<float> expected = actual;
    tested->silu(x.data() + 1, count, actual.data() + 1);
    oracle->silu(x.data() + 1, count, expected.data() + 1);
    EXPECT_EQ(actual.back(), 7.0F);
    for (std::size_t i = 0; i < actual.size(); ++i) ASSERT_NEAR(actual[i], expected[i], 1e-6 * std::abs(expected[i]));
  }
}

} // namespace
} // namespace tessera::kernels
