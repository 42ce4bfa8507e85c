#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tests/bringup/bench.hpp"

namespace tessera::bringup {
namespace {

using testing::Bench;
using testing::Fault;
using testing::TemporaryFolder;

TEST(Run, RefusesUnknownStagesAndListsAll) {
  Bench bench;
  try {
    bench.run({.stages = {"baseline", "decode"}});
    FAIL() << "accepted";
  } catch (const base::InvalidArgument& error) {
    EXPECT_STREQ(error.what(),
                 "[bringup] a stage must be one of baseline, decode-modules, decoder-layer, full-decode, "
                 "decode-as-prefill, prefill-modules, full-model, teacher-forcing, generation, "
                 "trace-and-queues, data-parallel, tensor-parallel, performance; received decode");
  }
}

TEST(Run, KeepsTheGuidesOrder) {
  Bench bench;
  const Report report = bench.run({.stages = {"prefill-modules", "baseline"}});
  ASSERT_EQ(report.stages.size(), 2u);
  EXPECT_EQ(report.stages[0].name, "baseline");
}

TEST(Run, RefusesTextsThatTheModelCannotTake) {
  Bench bench;
  bench.material.texts.push_back(Ids(65, 1));
  EXPECT_THROW(bench.run(), base::InvalidArgument);
  bench.material.texts = {{}};
  EXPECT_THROW(bench.run(), base::InvalidArgument);
  bench.material.texts.clear();
  EXPECT_THROW(bench.run(), base::InvalidArgument);
}

TEST(Run, WritesTheReportAfterEachStage) {
  TemporaryFolder folder;
  Bench bench;
  const Report report = bench.run({.stages = {"baseline", "decoder-layer"}, .report_folder = folder.path() / "report"});
  const auto json = nlohmann::json::parse(base::read_file(folder.path() / "report/bringup.json"));
  EXPECT_EQ(json, to_json(report));
  EXPECT_EQ(base::read_file(folder.path() / "report/bringup.xml"), to_junit(report));
}

TEST(Run, ResumesWithoutRunningFinishedStagesAgain) {
  TemporaryFolder folder;
  Bench bench;
  bench.run({.stages = {"decoder-layer"}, .report_folder = folder.path()});
  const auto calls = bench.device.calls();
  const Report resumed = bench.run({.stages = {"decoder-layer"}, .report_folder = folder.path(), .resume = true});
  EXPECT_EQ(bench.device.calls(), calls);
  EXPECT_TRUE(resumed.stages[0].resumed);
  EXPECT_TRUE(resumed.passed());
  // Without --resume it runs again; with it, stages that are not asked for stay in the report.
  EXPECT_FALSE(bench.run({.stages = {"decoder-layer"}, .report_folder = folder.path()}).stages[0].resumed);
  EXPECT_GT(bench.device.calls(), calls);
  const Report both = bench.run({.stages = {"baseline"}, .report_folder = folder.path(), .resume = true});
  ASSERT_EQ(both.stages.size(), 2u);
  EXPECT_FALSE(both.stages[0].resumed);
  EXPECT_TRUE(both.stages[1].resumed);
}

TEST(Run, RunsFailedStagesAgainOnResume) {
  TemporaryFolder folder;
  const Options options{.stages = {"decode-modules", "decoder-layer"}, .report_folder = folder.path(), .resume = true};
  Bench broken({Fault::Path::DECODE_MODULE, "layers.0.mlp"});
  EXPECT_FALSE(broken.run(options).passed());
  Bench mended;
  const Report report = mended.run(options);
  EXPECT_TRUE(report.passed());
  EXPECT_FALSE(report.stages[0].resumed);
  EXPECT_TRUE(report.stages[1].resumed);
}

TEST(Run, DoesNotResumeUnderOtherConditions) {
  TemporaryFolder folder;
  Bench bench;
  Options options{.stages = {"decoder-layer"}, .report_folder = folder.path(), .resume = true};
  bench.run(options);
  options.precision = "bfp8";
  EXPECT_FALSE(bench.run(options).stages[0].resumed);
  options.numerics = "exact";
  EXPECT_FALSE(bench.run(options).stages[0].resumed);
  bench.material.texts[0][0] += 1;
  EXPECT_FALSE(bench.run(options).stages[0].resumed);
  EXPECT_TRUE(bench.run(options).stages[0].resumed);
  Inputs rewritten = bench.inputs();
  rewritten.files = "of another time";
  Progress silent;
  const Report report = run(rewritten, options, silent);
  EXPECT_FALSE(report.stages[0].resumed);
  EXPECT_TRUE(run(rewritten, options, silent).stages[0].resumed);
  EXPECT_EQ(bench.run(options).key, report.key);
  std::ofstream(folder.path() / "bringup.json") << "{";
  EXPECT_FALSE(bench.run(options).stages[0].resumed);
}

struct Watch : Progress {
  void advanced(const ProgressState& state) override { states.push_back(state); }
  void stage_finished(const StageResult& stage) override { finished.push_back(stage.name); }
  bool cancelled() const override { return finished.size() == cancel_after; }

  std::vector<ProgressState> states;
  std::vector<std::string> finished;
  std::size_t cancel_after = 100;
};

TEST(Run, TellsProgressAndTheTimeLeft) {
  Bench bench;
  Watch watch;
  run(bench.inputs(), {}, watch);
  EXPECT_EQ(watch.finished, stage_names());
  EXPECT_TRUE(watch.states.back().seconds_left.has_value());
  EXPECT_EQ(watch.states.back().stage_number, 13u);
  EXPECT_EQ(watch.states.back().stage_count, 13u);
  for (const ProgressState& state : watch.states) {
    EXPECT_GE(state.stage_fraction, 0.0);
    EXPECT_LE(state.stage_fraction, 1.0);
  }
}

TEST(Run, EndsWhenCancelledAndGoesOnFromThere) {
  TemporaryFolder folder;
  Bench bench;
  Watch watch;
  watch.cancel_after = 2;
  const Options options{.report_folder = folder.path(), .resume = true};
  const Report report = run(bench.inputs(), options, watch);
  EXPECT_FALSE(report.passed());
  EXPECT_EQ(report.stages[1].verdict, Verdict::PASSED);
  EXPECT_EQ(report.stages[2].verdict, Verdict::NOT_RUN);
  EXPECT_NE(to_table(report).find("11 not run"), std::string::npos);
  const Report rest = bench.run(options);
  EXPECT_TRUE(rest.passed());
  EXPECT_TRUE(rest.stages[1].resumed);
  EXPECT_FALSE(rest.stages[2].resumed);
}

TEST(Run, SaysWhenThereIsNoTokenizer) {
  Bench bench;
  EXPECT_NE(to_table(bench.run({.stages = {"baseline"}})).find("tokenizer   none: the report shows token ids"),
            std::string::npos);
}

} // namespace
} // namespace tessera::bringup
