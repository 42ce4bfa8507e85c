#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/bringup/predicted_speed.hpp"
#include "tessera/bringup/published.hpp"
#include "tests/bringup/bench.hpp"

namespace tessera::bringup {
namespace {

using testing::Bench;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// A prediction of so many tokens/s/user.
PredictedSpeed predicted(double tokens_per_s) {
  const perfmodel::Constants& constants = perfmodel::constants();
  perfmodel::StepTime step(board("n150"), {}, constants);
  const TensorSpec spec{.shape = {1, 1, 32, 2048}};
  step.add({.name = "gelu",
            .inputs = {{.name = "input_tensor", .spec = spec}},
            .outputs = {{.name = "output", .spec = spec}}});
  return {.release = constants.release,
          .users = 1,
          .copies = 1,
          .prompt_length = 128,
          .position = 228,
          .prefill = {50e6, 0.3, step},
          .decode = {1e9 / tokens_per_s, 0.03, step}};
}

StageResult stage_of(const Inputs& inputs) {
  Progress silent;
  return run(inputs, {.stages = {"performance"}}, silent).stages.at(0);
}

double figure(const Row& row, const std::string& name) {
  for (const Figure& one : row.figures) {
    if (one.name == name) return one.value;
  }
  return -1;
}

TEST(Performance, MeasuresThisHostWhereNothingIsPredicted) {
  Bench bench;
  const StageResult stage = stage_of(bench.inputs());
  EXPECT_EQ(stage.verdict, Verdict::PASSED);
  ASSERT_EQ(stage.rows.size(), 1U);
  EXPECT_EQ(stage.rows[0].module, "measured on this host");
  EXPECT_GT(figure(stage.rows[0], "tokens_per_s_user"), 0);
  EXPECT_GT(figure(stage.rows[0], "ttft_ms"), 0);
}

TEST(Performance, SetsThePredictionApartFromTheMeasurement) {
  Bench bench;
  Inputs inputs = bench.inputs();
  std::int64_t asked = 0;
  inputs.predict_speed = [&](std::int64_t prompt_length) {
    asked = prompt_length;
    return predicted(25);
  };
  const StageResult stage = stage_of(inputs);
  EXPECT_GT(asked, 0);
  ASSERT_EQ(stage.rows.size(), 2U);
  EXPECT_EQ(stage.rows[1].module, "predicted for the card");
  EXPECT_NEAR(figure(stage.rows[1], "tokens_per_s_user"), 25, 1e-9);
  EXPECT_EQ(figure(stage.rows[1], "ttft_ms"), 50);
  EXPECT_THAT(stage.rows[1].notes.at(0), HasSubstr("half of such predictions within 3 %"));
  EXPECT_THAT(stage.rows[1].notes.at(0), HasSubstr("TT-NN"));
  EXPECT_THAT(stage.rows[1].notes.at(1), HasSubstr("of the roofline"));
}

TEST(Performance, ComparesPublishedFiguresWithThePredictionForTheirCase) {
  Bench bench;
  Inputs inputs = bench.inputs();
  inputs.known_as = "llama-3.1-8b";
  inputs.known_board = "n150";
  std::size_t cases = 0;
  for (const Published& row : published_rows()) cases += row.config == inputs.known_as && row.board == "n150" ? 1 : 0;
  ASSERT_GT(cases, 0U);
  inputs.predict_published = [](const Published& row) { return predicted(row.tokens_per_s_user * 1.1); };
  const StageResult near = stage_of(inputs);
  EXPECT_EQ(near.verdict, Verdict::PASSED);
  ASSERT_EQ(near.rows.size(), 1 + cases);
  EXPECT_THAT(near.rows[1].module, StartsWith("published, n150"));
  EXPECT_NEAR(figure(near.rows[1], "prediction_error"), 0.1, 1e-9);
  EXPECT_GT(figure(near.rows[1], "top1"), 0.5);

  inputs.predict_published = [](const Published& row) { return predicted(row.tokens_per_s_user * 1.5); };
  const StageResult far = stage_of(inputs);
  EXPECT_EQ(far.verdict, Verdict::FAILED);
  EXPECT_THAT(far.rows[1].advice, HasSubstr("performance-model.md"));
}

TEST(PublishedRows, NameTheirSource) {
  EXPECT_THAT(std::string(published_source()), HasSubstr("PERF.md"));
  for (const Published& row : published_rows()) {
    EXPECT_GT(row.tokens_per_s_user, 0) << row.config;
    EXPECT_NO_THROW(board(row.board)) << row.board;
  }
}

} // namespace
} // namespace tessera::bringup
