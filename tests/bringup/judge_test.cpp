#include "tessera/bringup/judge.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tessera/bringup/advice.hpp"

namespace tessera::bringup {
namespace {

std::vector<float> wave(std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = std::sin(static_cast<float>(i * i));
  return values;
}

TEST(JudgeValues, FailsOnScaleWhichPccDoesNotSee) {
  const auto expected = wave(200);
  auto actual = expected;
  for (float& value : actual) value *= 1.2F;
  const Row row = judge_values("layers.0.mlp", expected, actual, 0.999);
  EXPECT_TRUE(row.figures[0].holds());
  EXPECT_FALSE(row.passed);
  EXPECT_TRUE(failure_text(row).starts_with("relative_frobenius_error 0.2 must be at most 0.0894"));
  EXPECT_TRUE(advice_for(row, "accuracy").starts_with("direction right, size wrong"));
}

TEST(JudgeValues, AllowsTheErrorThatItsPccStandsFor) {
  const auto expected = wave(4096);
  auto actual = expected;
  const float error = static_cast<float>(std::sqrt(2.0 * (1.0 - 0.9995)) * std::sqrt(0.5)); // of a spread of sqrt(0.5)
  for (std::size_t i = 0; i < actual.size(); ++i) actual[i] += i % 2 == 0 ? error : -error;
  EXPECT_TRUE(judge_values("layers.0.mlp", expected, actual, 0.999).passed);
  EXPECT_FALSE(judge_values("layers.0.mlp", expected, actual, 0.9999).passed);
}

TEST(JudgeTensor, FailsWhenShapesDiffer) {
  const Row row = judge_tensor("lm_head", {{1, 4}, wave(4)}, {{1, 5}, wave(5)}, 0.99);
  EXPECT_FALSE(row.passed);
  EXPECT_EQ(row.notes.front(), "the output must have shape [1, 4]; received [1, 5]");
}

TEST(JudgeLogits, AllowsOneMissOnAShortText) {
  Pair logits{wave(64), wave(64)}; // 8 rows of 8
  Thresholds limits;
  limits.logits_pcc = 0.0;
  limits.top1 = 0.96;
  limits.top5 = 0.0;
  const std::size_t best = static_cast<std::size_t>(
      std::max_element(logits.expected.begin() + 8, logits.expected.begin() + 16) - logits.expected.begin());
  logits.actual[best] = -9.0F; // one miss in eight rows
  EXPECT_TRUE(judge_logits("text", logits, 8, limits, true).figures[3].holds());
  const std::size_t second = static_cast<std::size_t>(
      std::max_element(logits.expected.begin() + 16, logits.expected.begin() + 24) - logits.expected.begin());
  logits.actual[second] = -9.0F;
  const Row row = judge_logits("text", logits, 8, limits, true);
  EXPECT_EQ(row.figures[3].name, "top1");
  EXPECT_FALSE(row.figures[3].holds());
  EXPECT_FALSE(judge_logits("text", logits, 8, limits, false).figures[3].bound.has_value());
}

TEST(JudgeLogits, HoldsFullPrecisionToAnAbsoluteError) {
  Pair logits{wave(64), wave(64)};
  logits.actual[5] += 0.002F;
  Thresholds limits = thresholds_for("full");
  limits.logits_pcc = 0.9;
  EXPECT_FALSE(judge_logits("text", logits, 8, limits, false).passed);
  limits.logits_max_abs_error = 0.01;
  EXPECT_TRUE(judge_logits("text", logits, 8, limits, false).passed);
}

TEST(Advice, TellsWrongFromImprecise) {
  const auto expected = wave(256);
  std::vector<float> shuffled(expected.rbegin(), expected.rend());
  const Row wrong = judge_values("layers.1.attention", expected, shuffled, 0.999);
  EXPECT_TRUE(advice_for(wrong, "accuracy").starts_with("the result is wrong, not imprecise: check the q, k, v and o"));

  auto noisy = expected;
  for (std::size_t i = 0; i < noisy.size(); ++i) noisy[i] += i % 2 == 0 ? 0.1F : -0.1F;
  const Row imprecise = judge_values("layers.1.mlp", expected, noisy, 0.999);
  EXPECT_TRUE(
      advice_for(imprecise, "bfp8").starts_with("run it with --precision full: if it passes there, give ff1_3"));
  EXPECT_TRUE(advice_for(imprecise, "full").starts_with("nothing is rounded in full precision"));

  noisy[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(
      advice_for(judge_values("layers.1.mlp", expected, noisy, 0.999), "bfp8").starts_with("the output is not finite"));
  EXPECT_EQ(advice_for(judge_values("layers.1.mlp", expected, expected, 0.999), "bfp8"), "");
}

TEST(Thresholds, AreStricterForFullAndLaxerForPerformance) {
  EXPECT_GE(thresholds_for("accuracy").pcc_of("layers.3.mlp"), 0.999);
  EXPECT_GE(thresholds_for("accuracy").logits_pcc, 0.998);
  EXPECT_GE(thresholds_for("performance").logits_pcc, 0.96);
  EXPECT_GT(thresholds_for("full").logits_pcc, thresholds_for("bf16").logits_pcc);
  EXPECT_EQ(thresholds_for("mixed.json").logits_pcc, thresholds_for("accuracy").logits_pcc);
  EXPECT_EQ(thresholds_for("accuracy").pcc_of("final_norm"), 0.9999);
  EXPECT_EQ(thresholds_for("performance").pcc_of("layers.0"), thresholds_for("performance").layer_pcc);
}

} // namespace
} // namespace tessera::bringup
