#include <gmock/gmock.h>

#include "kernels_fixture.hpp"

namespace tessera::kernels {
namespace {

using Sampling = KernelsTest;

constexpr float kInf = std::numeric_limits<float>::infinity();

TEST_F(Sampling, MaximaEqualTheOracle) {
  for (std::int64_t blocks = 0; blocks <= 5; ++blocks) {
    for (const std::size_t offset : {0U, 1U, 7U}) {
      std::vector<float> x = any_floats(blocks * kMaximaBlock + 7);
      if (blocks > 1) std::fill_n(x.begin() + static_cast<std::ptrdiff_t>(offset), kMaximaBlock, std::nanf(""));
      std::vector<float> expected(static_cast<std::size_t>(blocks + 1), 7.0F);
      std::vector<float> actual = expected;
      oracle->block_maxima(x.data() + offset, blocks, expected.data());
      tested->block_maxima(x.data() + offset, blocks, actual.data());
      EXPECT_EQ(actual, expected); // as values: which zero it is does not matter
      if (blocks > 1) {
        EXPECT_EQ(actual.front(), -kInf);
      }
    }
  }
}

TEST_F(Sampling, AMaximumIsFoundWhereverItIs) {
  for (std::int64_t place = 0; place < 2 * kMaximaBlock; ++place) {
    std::vector<float> x = normals(2 * kMaximaBlock);
    x[static_cast<std::size_t>(place)] = 100.0F;
    std::array<float, 2> maxima{};
    tested->block_maxima(x.data(), 2, maxima.data());
    EXPECT_EQ(maxima[static_cast<std::size_t>(place / kMaximaBlock)], 100.0F);
    EXPECT_LT(maxima[static_cast<std::size_t>(1 - place / kMaximaBlock)], 100.0F);
  }
}

TEST_F(Sampling, WeightsEqualTheOracle) {
  for (const float scale : {1.0F, 1.44269504F, 1e-3F, 300.0F, std::numeric_limits<float>::max(), 1e-44F}) {
    for (std::int64_t count = 0; count <= 2 * kMostSizes; ++count) {
      std::vector<float> x = normals(count + 2, 4.0F);
      for (float& value : x) {
        if (random() % 16 == 0) value = std::array{-kInf, std::nanf(""), -1e30F, 0.0F}[random() % 4];
        value = value > 20.0F ? 20.0F : value;
      }
      std::vector<float> expected(x.size(), 7.0F);
      std::vector<float> actual = expected;
      const double expected_sum = oracle->softmax_weights(x.data() + 1, count, 20.0F, scale, expected.data() + 1);
      EXPECT_EQ(tested->softmax_weights(x.data() + 1, count, 20.0F, scale, actual.data() + 1), expected_sum);
      ASSERT_EQ(bits_of(actual), bits_of(expected)) << "count " << count << " scale " << scale;
      EXPECT_EQ(tested->softmax_weights(x.data() + 1, count, 20.0F, scale, x.data() + 1), expected_sum);
      EXPECT_TRUE(std::equal(expected.begin() + 1, expected.end() - 1, x.begin() + 1)) << "in place, count " << count;
    }
  }
}

TEST_F(Sampling, WeightsAreAccurateMultiplesOfAStep) {
  std::vector<float> x;
  for (double value = 5.0; value > -50.0; value -= 0.0013) x.push_back(static_cast<float>(value));
  std::vector<float> weights(x.size());
  const double sum = tested->softmax_weights(x.data(), std::ssize(x), 5.0F, 0.75F, weights.data());
  double expected_sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double exact = std::exp2((static_cast<double>(x[i]) - 5.0) * 0.75);
    ASSERT_NEAR(weights[i], exact, exact * 0x1p-18 + kWeightStep) << "x = " << x[i];
    ASSERT_EQ(std::fmod(weights[i], kWeightStep), 0.0);
    expected_sum += weights[i];
  }
  EXPECT_EQ(weights.front(), 1.0F);
  EXPECT_EQ(weights.back(), 0.0F);
  EXPECT_EQ(sum, expected_sum);
}

TEST_F(Sampling, ASumOfWeightsIsExact) {
  // 2^20 weights next to 1 would lose 20 bits each in fp32.
  constexpr std::int64_t kCount = std::int64_t{1} << 20;
  std::vector<float> x(static_cast<std::size_t>(kCount), -1e-5F);
  const double sum = tested->softmax_weights(x.data(), kCount, 0.0F, 1.0F, x.data());
  EXPECT_LT(x.front(), 1.0F);
  EXPECT_EQ(sum, static_cast<double>(kCount) * x.front());
}

} // namespace
} // namespace tessera::kernels
