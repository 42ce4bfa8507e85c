#include "kernels_fixture.hpp"

namespace tessera::kernels {
namespace {

class Normalization : public KernelsTest {
 protected:
  /// Every size up to two vectors and one more, then some as a model has.
  static std::vector<std::int64_t> counts() {
    std::vector<std::int64_t> result;
    for (std::int64_t count = 0; count <= 4096; count = count <= 2 * kMostSizes ? count + 1 : count * 2)
      result.push_back(count);
    return result;
  }
};

TEST_F(Normalization, SumOfSquaresIsAccurate) {
  for (const std::int64_t count : counts()) {
    const std::vector<float> x = normals(count + 1);
    double expected = 0;
    for (std::size_t i = 1; i < x.size(); ++i) expected += static_cast<double>(x[i]) * x[i];
    // Sums in 8 or more parts: some tens of roundings of 6e-8 at most.
    ASSERT_NEAR(tested->sum_of_squares(x.data() + 1, count), expected, 4e-6 * expected) << "count " << count;
  }
}

TEST_F(Normalization, MomentsAreThoseOfDoublePrecision) {
  for (const std::int64_t count : counts()) {
    std::vector<float> x = normals(count + 1);
    for (float& value : x) value += 1000.0F;
    double sum = 0;
    double squares = 0;
    for (std::size_t i = 1; i < x.size(); ++i) {
      sum += static_cast<double>(x[i]);
      squares += static_cast<double>(x[i]) * x[i];
    }
    const Moments moments = tested->moments(x.data() + 1, count);
    const double rounding = 0x1p-53 * static_cast<double>(count);
    ASSERT_NEAR(moments.sum, sum, rounding * std::abs(sum)) << "count " << count;
    ASSERT_NEAR(moments.sum_of_squares, squares, rounding * squares) << "count " << count;
  }
}

TEST_F(Normalization, ScaledRowsEqualTheOracle) {
  for (const std::int64_t count : counts()) {
    std::vector<float> x = any_floats(count + 1);
    const std::vector<float> gamma = any_floats(count + 1);
    std::vector<float> expected(static_cast<std::size_t>(count + 2), 7.0F);
    std::vector<float> actual = expected;
    oracle->scale_row(x.data() + 1, gamma.data() + 1, 0.37F, count, expected.data() + 1);
    tested->scale_row(x.data() + 1, gamma.data() + 1, 0.37F, count, actual.data() + 1);
    ASSERT_EQ(bits_of(actual), bits_of(expected)) << "count " << count;
    tested->scale_row(x.data() + 1, gamma.data() + 1, 0.37F, count, x.data() + 1);
    ASSERT_EQ(bits_of(std::span(x).subspan(1)), bits_of(std::span(actual).subspan(1, x.size() - 1))) << "in place";
  }
}

TEST_F(Normalization, NormalizedRowsEqualTheOracle) {
  for (const std::int64_t count : counts()) {
    std::vector<float> x = any_floats(count + 1);
    const std::vector<float> gamma = normals(count + 1);
    const std::vector<float> beta = normals(count + 1);
    std::vector<float> expected(static_cast<std::size_t>(count + 2), 7.0F);
    std::vector<float> actual = expected;
    const auto run = [&](const Kernels& isa, float* out) {
      isa.normalize(x.data() + 1, 0.123456789012, 0.37F, gamma.data() + 1, beta.data() + 1, count, out);
    };
    run(*oracle, expected.data() + 1);
    run(*tested, actual.data() + 1);
    ASSERT_EQ(bits_of(actual), bits_of(expected)) << "count " << count;
    run(*tested, x.data() + 1);
    ASSERT_EQ(bits_of(std::span(x).subspan(1)), bits_of(std::span(actual).subspan(1, x.size() - 1))) << "in place";
  }
}

TEST_F(Normalization, ALargeMeanIsTakenOffExactly) {
  // 0.1 is no float: as one it would be off by 1.5e-9, which a scale of 1e6 would show.
  const std::vector<float> x = {0.1F, 0.2F, 0.3F};
  const std::vector<float> gamma = {1.0F, 1.0F, 1.0F};
  const std::vector<float> beta = {0.0F, 0.0F, 0.0F};
  std::vector<float> out(3);
  tested->normalize(x.data(), 0.1, 1e6F, gamma.data(), beta.data(), 3, out.data());
  for (std::size_t i = 0; i < 3; ++i) {
    const double exact = (static_cast<double>(x[i]) - 0.1) * 1e6;
    EXPECT_NEAR(out[i], exact, 2e-7 * std::abs(exact) + 1e-10);
  }
}

} // namespace
} // namespace tessera::kernels
