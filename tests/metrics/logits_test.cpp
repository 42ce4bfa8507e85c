#include "tessera/metrics/logits.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tessera/base/error.hpp"

namespace tessera::metrics {
namespace {

using Values = std::vector<float>;

const float kNan = std::numeric_limits<float>::quiet_NaN();
const float kInf = std::numeric_limits<float>::infinity();
const double kInfinite = std::numeric_limits<double>::infinity();

float log_of(double probability) {
  return static_cast<float>(std::log(probability));
}

TEST(Argmax, TakesTheLowestOfEquals) {
  EXPECT_EQ(argmax(Values{1, 3, 3, 2}), 1u);
  EXPECT_EQ(argmax(Values{-kInf, -kInf}), 0u);
}

TEST(Argmax, NeverTakesNan) {
  EXPECT_EQ(argmax(Values{kNan, -5, kNan, -4}), 3u);
  EXPECT_EQ(argmax(Values{-5, kNan}), 0u);
}

TEST(CompareLogits, IsPerfectForEqualLogits) {
  const Values logits = {1, 2, 3, 3, 2, 1};
  const LogitsAgreement agreement = compare_logits(logits, logits, 3);
  EXPECT_EQ(agreement.top1, 1.0);
  EXPECT_EQ(agreement.top5, 1.0);
  EXPECT_EQ(agreement.kl_divergence, 0.0);
  EXPECT_EQ(agreement.pcc, 1.0);
  EXPECT_EQ(agreement.max_abs_error, 0.0);
}

TEST(CompareLogits, CountsTop1AndTop5ByTheReferencesRanks) {
  const Values reference = {7, 6, 5, 4, 3, 2, 1};
  Values expected;
  Values actual;
  for (const std::size_t chosen : {0, 1, 4, 5}) { // ranks 1, 2, 5, 6
    expected.insert(expected.end(), reference.begin(), reference.end());
    Values row(7, 0.0f);
    row[chosen] = 9;
    actual.insert(actual.end(), row.begin(), row.end());
  }
  const LogitsAgreement agreement = compare_logits(expected, actual, 7);
  EXPECT_DOUBLE_EQ(agreement.top1, 0.25);
  EXPECT_DOUBLE_EQ(agreement.top5, 0.75);
  EXPECT_DOUBLE_EQ(agreement.max_abs_error, 7.0); // 7 against 0 in rows 2 to 4; |2 - 9| in the last
}

TEST(CompareLogits, RanksTheLowerOfEqualLogitsFirst) {
  const Values reference(7, 1.0f); // ranks are the indices
  Values fifth(7, 0.0f);
  fifth[4] = 1;
  Values sixth(7, 0.0f);
  sixth[5] = 1;
  EXPECT_EQ(compare_logits(reference, fifth, 7).top5, 1.0);
  EXPECT_EQ(compare_logits(reference, sixth, 7).top5, 0.0);
}

TEST(CompareLogits, KlDivergenceIsTheMeanInNatsOfReferenceAgainstActual) {
  // Row 1: p = (1/2, 1/2), q = (1/4, 3/4): KL = 1/2 ln 2 + 1/2 ln(2/3). Row 2: equal.
  const Values expected = {log_of(0.5), log_of(0.5), 1.0f, 2.0f};
  const Values actual = {log_of(0.25), log_of(0.75), 11.0f, 12.0f}; // a shift changes nothing
  const double first_row = 0.5 * std::log(2.0) + 0.5 * std::log(2.0 / 3.0);
  EXPECT_NEAR(compare_logits(expected, actual, 2).kl_divergence, first_row / 2.0, 1e-7);
}

TEST(CompareLogits, AllowsMaskedLogits) {
  const Values masked = {0, -kInf, 0};
  EXPECT_EQ(compare_logits(masked, masked, 3).kl_divergence, 0.0);
  EXPECT_EQ(compare_logits(Values{0, 0, 0}, masked, 3).kl_divergence, kInfinite);
  EXPECT_NEAR(compare_logits(masked, Values{0, 0, 0}, 3).kl_divergence, std::log(1.5), 1e-12);
}

TEST(CompareLogits, LetsNoRowWithNanAgree) {
  const LogitsAgreement agreement = compare_logits(Values{1, 2, 1, 2}, Values{kNan, 2, 1, 2}, 2);
  EXPECT_EQ(agreement.top1, 0.5);
  EXPECT_EQ(agreement.top5, 0.5);
  EXPECT_EQ(agreement.kl_divergence, kInfinite);
  EXPECT_EQ(agreement.max_abs_error, kInfinite);
}

TEST(CompareLogits, RefusesSizesThatDoNotFit) {
  EXPECT_THROW(compare_logits(Values{1, 2, 3}, Values{1, 2, 3}, 2), base::InvalidArgument);
  EXPECT_THROW(compare_logits(Values{1, 2}, Values{1, 2, 3, 4}, 2), base::InvalidArgument);
  EXPECT_THROW(compare_logits(Values{}, Values{}, 2), base::InvalidArgument);
  EXPECT_THROW(compare_logits(Values{1}, Values{1}, 0), base::InvalidArgument);
}

TEST(CrossEntropy, EqualsTheHandComputedValue) {
  EXPECT_NEAR(cross_entropy(Values{0, 0, 0, 0}, 2), std::log(4.0), 1e-15);
  EXPECT_NEAR(cross_entropy(Values{log_of(0.2), log_of(0.8)}, 0), -std::log(0.2), 1e-7);
}

TEST(CrossEntropy, DoesNotOverflow) {
  EXPECT_NEAR(cross_entropy(Values{3e38f, 0}, 0), 0.0, 1e-15);
  EXPECT_NEAR(cross_entropy(Values{1000, 0}, 1), 1000.0, 1e-12);
}

TEST(CrossEntropy, IsInfiniteForImpossibleTargetsAndNan) {
  EXPECT_EQ(cross_entropy(Values{0, -kInf}, 1), kInfinite);
  EXPECT_EQ(cross_entropy(Values{0, kNan}, 0), kInfinite);
}

TEST(CrossEntropy, RefusesTargetsOutsideTheVocabulary) {
  EXPECT_THROW(cross_entropy(Values{0, 0}, 2), base::InvalidArgument);
  EXPECT_THROW(cross_entropy(Values{0, 0}, -1), base::InvalidArgument);
}

TEST(Perplexity, IsTheVocabularySizeForUniformLogits) {
  const std::vector<std::int64_t> targets = {0, 4, 2};
  EXPECT_NEAR(perplexity(Values(15, 0.5f), targets), 5.0, 1e-12);
}

TEST(Perplexity, IsTheGeometricMeanOfInverseProbabilities) {
  // 1/p is 4 and 2: sqrt(8).
  const std::vector<std::int64_t> targets = {0, 1};
  EXPECT_NEAR(perplexity(Values{log_of(0.25), log_of(0.75), log_of(0.5), log_of(0.5)}, targets), std::sqrt(8.0), 1e-6);
}

TEST(Perplexity, RefusesSizesThatDoNotFit) {
  const std::vector<std::int64_t> targets = {0, 1};
  EXPECT_THROW(perplexity(Values{1, 2, 3}, targets), base::InvalidArgument);
  EXPECT_THROW(perplexity(Values{1, 2}, {}), base::InvalidArgument);
}

TEST(CompareLogitsRows, TellsWhichRowAgrees) {
  const Values expected{3, 1, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0};
  const Values actual{3, 1, 0, 0, 0, 0, 2, 0, 1, 0, 0, 0};
  const std::vector<RowAgreement> rows = compare_logits_rows(expected, actual, 6);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_TRUE(rows[0].top1);
  EXPECT_EQ(rows[0].kl_divergence, 0.0);
  EXPECT_FALSE(rows[1].top1);
  EXPECT_TRUE(rows[1].top5);
  EXPECT_GT(rows[1].kl_divergence, 0.0);
  EXPECT_THROW(compare_logits_rows(expected, actual, 5), base::InvalidArgument);
}

} // namespace
} // namespace tessera::metrics
