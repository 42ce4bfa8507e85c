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

TEST_F(Elementwise, MaxAndReluGiveTheOraclesBits) {
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> x = normals(kMostSizes, 3.0F);
  std::vector<float> y = normals(2 * kMostSizes, 3.0F);
  y.erase(y.begin(), y.begin() + kMostSizes);
  const std::vector<float> special = {0.0F, -0.0F, inf, -inf, std::nanf(""), 1.0F};
  for (const float a : special) {
    for (const float b : special) {
      x.insert(x.begin(), a);
      y.insert(y.begin(), b);
    }
  }
  for (std::size_t count = 0; count <= x.size(); ++count) {
    std::vector<float> expected(count + 1, 7.0F);
    std::vector<float> actual = expected;
    oracle->max(x.data(), y.data(), static_cast<std::int64_t>(count), expected.data());
    tested->max(x.data(), y.data(), static_cast<std::int64_t>(count), actual.data());
    ASSERT_EQ(bits_of(actual), bits_of(expected));
    oracle->relu(x.data(), static_cast<std::int64_t>(count), expected.data());
    tested->relu(x.data(), static_cast<std::int64_t>(count), actual.data());
    ASSERT_EQ(bits_of(actual), bits_of(expected));
  }
  EXPECT_GT(std::count_if(x.begin(), x.end(), [](float value) { return value < 0; }), 0);
}

TEST_F(Elementwise, GeluIsAccurate) {
  // Over the whole range where the result is a normal number. exp within 1 ulp, a polynomial, two divisions and four
  // products: 5 ulp.
  std::vector<float> x;
  for (double value = -12.9; value <= 20; value += 0.00011) x.push_back(static_cast<float>(value));
  for (double value = 1e-30; value <= 1e30; value *= 1.7) {
    x.push_back(static_cast<float>(value));
    if (value < 1) x.push_back(static_cast<float>(-value));
  }
  std::vector<float> y(x.size());
  tested->gelu(x.data(), std::ssize(x), y.data());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double value = x[i];
    ASSERT_LE(ulps(y[i], 0.5 * value * std::erfc(-value / std::sqrt(2.0))), 5.0) << "x = " << value;
  }
}

TEST_F(Elementwise, GeluByTanhIsAccurate) {
  std::vector<float> x;
  for (double value = -15; value <= 20; value += 0.00011) x.push_back(static_cast<float>(value));
  std::vector<float> y(x.size());
  tested->gelu_tanh(x.data(), std::ssize(x), y.data());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double value = x[i];
    const double u = std::sqrt(2.0 / M_PI) * (value + 0.044715 * value * value * value);
    ASSERT_NEAR(y[i], 0.5 * value * (1 + std::tanh(u)), 0x1p-22 * std::abs(value)) << "x = " << value;
  }
}

TEST_F(Elementwise, SoftcapIsAccurateAndKeepsWithinTheCap) {
  std::vector<float> x = {0.0F, -0.0F, 1e30F, -1e30F, 1e-30F};
  for (double value = -400; value <= 400; value += 0.0031) x.push_back(static_cast<float>(value));
  for (const float cap : {30.0F, 50.0F, 0.5F}) {
    std::vector<float> y(x.size());
    tested->softcap(x.data(), cap, std::ssize(x), y.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      ASSERT_NEAR(y[i], cap * std::tanh(double{x[i]} / cap), 0x1p-22 * cap) << "x = " << x[i];
      ASSERT_LE(std::abs(y[i]), cap);
    }
  }
}

TEST_F(Elementwise, GeluAgreesWithTheOracleOnSpecialValues) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> x = {0.0F, -0.0F, inf, -inf, std::nanf(""), 100.0F, 1e30F, -100.0F, -1e30F, 1e-40F, -1e-40F};
  for (const auto gelu : {&Kernels::gelu, &Kernels::gelu_tanh}) {
    std::vector<float> expected(x.size());
    std::vector<float> actual(x.size());
    (oracle->*gelu)(x.data(), std::ssize(x), expected.data());
    (tested->*gelu)(x.data(), std::ssize(x), actual.data());
    EXPECT_EQ(bits_of(actual), bits_of(expected));
  }
}

TEST_F(Elementwise, GeluTakesEverySize) {
  const std::vector<float> x = normals(kMostSizes + 1, 3.0F);
  for (const auto gelu : {&Kernels::gelu, &Kernels::gelu_tanh}) {
    for (std::int64_t count = 0; count <= kMostSizes; ++count) {
      std::vector<float> actual(static_cast<std::size_t>(count + 2), 7.0F);
      std::vector<float> expected = actual;
      (tested->*gelu)(x.data() + 1, count, actual.data() + 1);
      (oracle->*gelu)(x.data() + 1, count, expected.data() + 1);
      EXPECT_EQ(actual.back(), 7.0F);
      EXPECT_EQ(actual.front(), 7.0F);
      for (std::size_t i = 1; i + 1 < actual.size(); ++i)
        ASSERT_NEAR(actual[i], expected[i], 3e-6 * std::abs(x[i]) + 1e-30);
      std::vector<float> in_place(x.begin() + 1, x.end());
      (tested->*gelu)(in_place.data(), count, in_place.data());
      ASSERT_TRUE(std::equal(in_place.begin(), in_place.begin() + count, actual.begin() + 1));
    }
  }
}

} // namespace
} // namespace tessera::kernels
