#include "tessera/ops/sampling/draw_token.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <vector>

#include "tessera/base/error.hpp"

namespace tessera::ops {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

using Logits = std::vector<float>;

/// The same by sorting everything: token ids by rank, cut by k, cut by p, then one in the order of ids.
std::int32_t draw_by_sorting(const Logits& logits, const SamplingParameters& parameters, double unit) {
  const auto value = [&](std::size_t i) { return std::isnan(logits[i]) ? -kInf : logits[i]; };
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return value(a) > value(b); });
  if (parameters.temperature == 0.0F) return static_cast<std::int32_t>(order.front());
  if (parameters.top_k > 0) order.resize(std::min(order.size(), static_cast<std::size_t>(parameters.top_k)));

  Logits weights(logits.size());
  const double scale =
      std::min(1 / std::log(2.0) / parameters.temperature, static_cast<double>(std::numeric_limits<float>::max()));
  kernels::kernels_for("scalar")->softmax_weights(logits.data(), std::ssize(logits), logits[order.front()],
                                                  static_cast<float>(scale), weights.data());
  const auto mass_of = [&](const std::vector<std::size_t>& ids) {
    return std::accumulate(ids.begin(), ids.end(), 0.0, [&](double sum, std::size_t id) { return sum + weights[id]; });
  };
  if (parameters.top_p < 1.0F) {
    const double wanted = parameters.top_p * mass_of(order);
    double sum = 0;
    std::size_t count = 0;
    while (count == 0 || sum < wanted) sum += weights[order[count++]];
    order.resize(count);
  }
  std::sort(order.begin(), order.end());
  const double target = unit * mass_of(order);
  double sum = 0;
  for (const std::size_t id : order) {
    sum += weights[id];
    if (sum > target) return static_cast<std::int32_t>(id);
  }
  return -1;
}

/// Rows of all kinds: peaked, flat, full of equal values, with NaN and -infinity. The largest is finite.
Logits any_logits(std::mt19937& random, std::size_t count) {
  std::normal_distribution<float> normal(0.0F, std::array{0.01F, 1.0F, 4.0F, 30.0F}[random() % 4]);
  const bool equals = random() % 3 == 0;
  const bool masked = random() % 3 == 0;
  Logits logits(count);
  for (float& logit : logits) {
    logit = equals ? std::round(normal(random)) : normal(random);
    if (masked && random() % 4 == 0) logit = random() % 2 == 0 ? kNaN : -kInf;
  }
  logits[random() % count] = 2.0F;
  return logits;
}

SamplingParameters any_parameters(std::mt19937& random, std::int32_t count) {
  const std::array temperatures = {0.0F, 1e-42F, 0.02F, 0.7F, 1.0F, 3.0F, 1e38F};
  const std::array ks = {0, 0, 1, 2, 50, count / 2, count - 1, count, count + 5};
  const std::array ps = {1.0F, 1.0F, 1e-30F, 0.2F, 0.5F, 0.9F, 0.95F, 0.9999F};
  return {temperatures[random() % temperatures.size()], ks[random() % ks.size()], ps[random() % ps.size()]};
}

TEST(DrawToken, GivesWhatAFullSortGives) {
  std::mt19937 random(1);
  for (const auto& [count, cases] : {std::pair{1, 50},
                                     {2, 100},
                                     {3, 400},
                                     {63, 400},
                                     {64, 400},
                                     {65, 400},
                                     {1000, 1000},
                                     {1024, 300},
                                     {5001, 400},
                                     {70001, 60}}) {
    for (int i = 0; i < cases; ++i) {
      const Logits logits = any_logits(random, static_cast<std::size_t>(count));
      const SamplingParameters parameters = any_parameters(random, count);
      const std::uint64_t seed = random();
      ASSERT_EQ(draw_token(logits, parameters, seed, i), draw_by_sorting(logits, parameters, random_unit(seed, i)))
          << count << " logits, temperature " << parameters.temperature << " k " << parameters.top_k << " p "
          << parameters.top_p << " seed " << seed << " position " << i;
    }
  }
}

TEST(DrawToken, TakesTheLowestIndexOfEqualMaximaWhenGreedy) {
  EXPECT_EQ(draw_token(Logits{1.0F, 3.0F, 3.0F, 2.0F}, {}, 0, 0), 1);
  EXPECT_EQ(draw_token(Logits{kNaN, -0.0F, 0.0F}, {}, 0, 0), 1);
  for (const std::size_t count : {1U, 63U, 64U, 65U, 300U, 3000U}) {
    for (std::size_t best = 0; best < count; best += 1 + count / 50) {
      Logits logits(count, -kInf);
      logits[best] = -5.0F;
      logits.back() = -5.0F;
      if (best > 0) logits.front() = kNaN;
      EXPECT_EQ(draw_token(logits, {}, 0, 0), static_cast<std::int32_t>(best)) << count << " logits";
    }
  }
}

std::map<std::int32_t, int> draws(const Logits& logits, const SamplingParameters& parameters, int count) {
  std::map<std::int32_t, int> counts;
  for (int i = 0; i < count; ++i) ++counts[draw_token(logits, parameters, 5, i)];
  return counts;
}

/// Expects frequencies within five standard deviations of those of the softmax of `logits` over `kept`.
void expect_frequencies(const Logits& logits, const SamplingParameters& parameters,
                        const std::vector<std::int32_t>& kept) {
  constexpr int kDraws = 20000;
  const auto counts = draws(logits, parameters, kDraws);
  double sum = 0;
  const auto weight = [&](std::int32_t id) {
    return std::exp(logits[static_cast<std::size_t>(id)] / static_cast<double>(parameters.temperature));
  };
  for (const std::int32_t id : kept) sum += weight(id);
  int all = 0;
  for (const std::int32_t id : kept) {
    const double share = weight(id) / sum;
    const int count = counts.contains(id) ? counts.at(id) : 0;
    EXPECT_NEAR(count, kDraws * share, 5 * std::sqrt(kDraws * share * (1 - share))) << "token " << id;
    all += count;
  }
  EXPECT_EQ(all, kDraws);
}

TEST(DrawToken, DrawsInProportionToTheSoftmax) {
  const Logits logits{std::log(6.0F), std::log(3.0F), std::log(1.0F), -kInf, kNaN};
  expect_frequencies(logits, {.temperature = 1.0F}, {0, 1, 2});
  expect_frequencies(logits, {.temperature = 0.5F}, {0, 1, 2});
  expect_frequencies(logits, {.temperature = 4.0F}, {0, 1, 2});
  expect_frequencies(logits, {.temperature = 1.0F, .top_k = 2}, {0, 1});
  expect_frequencies(logits, {.temperature = 1.0F, .top_p = 0.89F}, {0, 1});
  // Temperature comes first: squared, the shares are 36, 9 and 1 of 46.
  expect_frequencies(logits, {.temperature = 0.5F, .top_p = 0.79F}, {0, 1});
  expect_frequencies(logits, {.temperature = 0.5F, .top_p = 0.78F}, {0});
  // top-p counts among what top-k leaves: 6 of 9 and 3 of 9.
  expect_frequencies(logits, {.temperature = 1.0F, .top_k = 2, .top_p = 0.65F}, {0});
  expect_frequencies(logits, {.temperature = 1.0F, .top_k = 2, .top_p = 0.7F}, {0, 1});
}

TEST(DrawToken, DrawsFromALargeVocabularyInProportion) {
  // Two tokens of 0.3 each far apart, the rest shared by 4000.
  Logits logits(4002, std::log(0.4F / 4000));
  logits[17] = logits[3900] = std::log(0.3F);
  const auto counts = draws(logits, {.temperature = 1.0F}, 5000);
  EXPECT_NEAR(counts.at(17), 1500, 5 * std::sqrt(5000 * 0.3 * 0.7));
  EXPECT_NEAR(counts.at(3900), 1500, 5 * std::sqrt(5000 * 0.3 * 0.7));
  EXPECT_GT(counts.size(), 1200U); // of 2000 draws among 4000
}

TEST(DrawToken, KeepsTheLowestIndicesOfEqualLogits) {
  const auto counts = draws({0.0F, 2.0F, 1.0F, 2.0F, 2.0F}, {.temperature = 1.0F, .top_k = 2}, 500);
  ASSERT_EQ(counts.size(), 2U);
  EXPECT_TRUE(counts.contains(1) && counts.contains(3));
  const auto nucleus = draws(Logits(3000, 1.0F), {.temperature = 1.0F, .top_p = 0.0009F}, 500); // 2.7 tokens
  ASSERT_EQ(nucleus.size(), 3U);
  EXPECT_EQ(nucleus.rbegin()->first, 2);
}

TEST(DrawToken, DependsOnSeedAndPosition) {
  const Logits logits(1000, 0.0F);
  const SamplingParameters parameters{.temperature = 1.0F};
  int same = 0;
  for (int i = 0; i < 100; ++i) {
    const std::int32_t token = draw_token(logits, parameters, 7, i);
    EXPECT_EQ(draw_token(logits, parameters, 7, i), token);
    same += token == draw_token(logits, parameters, 8, i);
    same += token == draw_token(logits, parameters, 7 | std::uint64_t{1} << 40, i);
    same += token == draw_token(logits, parameters, 7, i + 1);
  }
  EXPECT_LT(same, 10);
}

TEST(RandomUnit, IsSplitmix64OfTheMixedSeed) {
  struct Splitmix64 {
    std::uint64_t state;
    std::uint64_t next() {
      std::uint64_t z = state += 0x9E3779B97F4A7C15;
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
      return z ^ (z >> 31);
    }
  };
  ASSERT_EQ(Splitmix64{1234567}.next(), 6457827717110365317U); // published with the generator
  for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, ~std::uint64_t{0}}) {
    Splitmix64 generator{Splitmix64{seed}.next()};
    for (int position = 0; position < 10; ++position)
      EXPECT_EQ(random_unit(seed, position), static_cast<double>(generator.next() >> 11) / 0x1p53);
  }
}

TEST(RandomUnit, IsEvenOverPositionsAndOverSeeds) {
  constexpr int kDraws = 16000;
  std::array<int, 16> over_positions{};
  std::array<int, 16> over_seeds{};
  for (int i = 0; i < kDraws; ++i) {
    ++over_positions[static_cast<std::size_t>(16 * random_unit(3, i))];
    ++over_seeds[static_cast<std::size_t>(16 * random_unit(static_cast<std::uint64_t>(i), 3))];
  }
  const double five_deviations = 5 * std::sqrt(kDraws / 16.0);
  for (const int count : over_positions) EXPECT_NEAR(count, kDraws / 16.0, five_deviations);
  for (const int count : over_seeds) EXPECT_NEAR(count, kDraws / 16.0, five_deviations);
}

TEST(DrawToken, RefusesParametersOutOfRange) {
  const Logits logits{0.0F, 1.0F};
  const auto refused = [&](const SamplingParameters& parameters, const char* part) {
    EXPECT_THAT([&] { draw_token(logits, parameters, 0, 0); },
                testing::ThrowsMessage<base::InvalidArgument>(testing::HasSubstr(part)));
  };
  refused({.temperature = -1.0F}, "[sampling] temperature must be a finite number of at least 0; received -1");
  refused({.temperature = kNaN}, "received nan");
  refused({.temperature = kInf}, "received inf");
  refused({.top_k = -1}, "[sampling] top_k must be at least 0; received -1");
  refused({.top_p = 0.0F}, "[sampling] top_p must be above 0 and at most 1; received 0");
  refused({.top_p = 1.5F}, "received 1.5");
  refused({.top_p = kNaN}, "received nan");
  EXPECT_THROW(draw_token(Logits{}, {}, 0, 0), base::InvalidArgument);
  EXPECT_THROW(draw_token(Logits(kMostLogits + 1), {}, 0, 0), base::InvalidArgument);
}

TEST(DrawToken, ReportsLogitsThatAreNotFiniteAsABrokenModel) {
  for (const SamplingParameters& parameters : {SamplingParameters{}, SamplingParameters{.temperature = 1.0F}}) {
    for (const Logits& logits : {Logits{kNaN, kNaN}, Logits{-kInf, kNaN}, Logits{0.0F, kInf}}) {
      EXPECT_THAT([&] { draw_token(logits, parameters, 0, 0); },
                  testing::ThrowsMessage<base::DeviceError>(testing::HasSubstr("largest logit must be finite")));
    }
  }
}

} // namespace
} // namespace tessera::ops
