#include "tessera/generate/sampling.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <vector>

#include "tessera/base/error.hpp"

namespace tessera::generate {
namespace {

std::map<std::int32_t, int> draw(const std::vector<float>& logits, const SamplingOptions& options, int count) {
  Sampler sampler(options);
  std::map<std::int32_t, int> counts;
  for (int i = 0; i < count; ++i) ++counts[sampler.sample(logits)];
  return counts;
}

TEST(Sampler, TakesTheLowestIndexOfEqualMaximaWhenGreedy) {
  EXPECT_EQ(Sampler({}).sample(std::vector<float>{1.0F, 3.0F, 3.0F, 2.0F}), 1);
}

TEST(Sampler, GivesTheSameTokensForTheSameSeed) {
  const std::vector<float> logits{0.1F, 0.3F, 0.2F, 0.5F, 0.4F};
  Sampler first({.temperature = 1.0, .seed = 7});
  Sampler second({.temperature = 1.0, .seed = 7});
  Sampler other({.temperature = 1.0, .seed = 8});
  int differing = 0;
  for (int i = 0; i < 100; ++i) {
    const auto token = first.sample(logits);
    EXPECT_EQ(token, second.sample(logits));
    differing += token != other.sample(logits);
  }
  EXPECT_GT(differing, 20);
}

TEST(Sampler, DrawsInProportionToTheSoftmax) {
  // Probabilities 0.6, 0.3, 0.1; the tolerance is four standard deviations of 20,000 draws.
  const std::vector<float> logits{std::log(6.0F), std::log(3.0F), std::log(1.0F)};
  auto counts = draw(logits, {.temperature = 1.0, .seed = 1}, 20000);
  EXPECT_NEAR(counts[0], 12000, 4 * std::sqrt(20000 * 0.6 * 0.4));
  EXPECT_NEAR(counts[1], 6000, 4 * std::sqrt(20000 * 0.3 * 0.7));
  // At temperature 0.5 the weights are squared: 36, 9, 1.
  counts = draw(logits, {.temperature = 0.5, .seed = 1}, 20000);
  EXPECT_NEAR(counts[2], 20000 / 46.0, 4 * std::sqrt(20000 / 46.0));
}

TEST(Sampler, KeepsTheLargestKOnly) {
  const auto counts = draw({0.0F, 2.0F, 1.0F, 2.0F, 2.0F}, {.temperature = 1.0, .top_k = 2, .seed = 3}, 500);
  ASSERT_EQ(counts.size(), 2u); // of the three equal ones the two with the lowest index
  EXPECT_TRUE(counts.contains(1) && counts.contains(3));
}

TEST(Sampler, KeepsTheFewestTokensThatReachTopP) {
  const std::vector<float> logits{std::log(5.0F), std::log(3.0F), std::log(2.0F)};
  EXPECT_EQ(draw(logits, {.temperature = 1.0, .top_p = 0.49, .seed = 3}, 500).size(), 1u);
  EXPECT_EQ(draw(logits, {.temperature = 1.0, .top_p = 0.75, .seed = 3}, 500).size(), 2u);
  EXPECT_EQ(draw(logits, {.temperature = 1.0, .top_p = 0.95, .seed = 3}, 500).size(), 3u);
}

TEST(Sampler, RefusesOptionsOutOfRange) {
  EXPECT_THROW(Sampler({.temperature = -1.0}), base::InvalidArgument);
  EXPECT_THROW(Sampler({.temperature = std::numeric_limits<double>::quiet_NaN()}), base::InvalidArgument);
  EXPECT_THROW(Sampler({.top_k = -1}), base::InvalidArgument);
  EXPECT_THROW(Sampler({.top_p = 0.0}), base::InvalidArgument);
  EXPECT_THROW(Sampler({.top_p = 1.5}), base::InvalidArgument);
}

TEST(Sampler, ReportsLogitsThatAreNotFiniteAsABrokenModel) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_THROW(Sampler({}).sample(std::vector<float>{nan, nan}), base::DeviceError);
  EXPECT_THROW(Sampler({}).sample(std::vector<float>{0.0F, infinity}), base::DeviceError);
  EXPECT_EQ(draw({nan, 0.0F, -infinity}, {.temperature = 1.0}, 50).size(), 1u);
}

} // namespace
} // namespace tessera::generate
