// --compare-ops: every op of a model beside the reference's, and replay-op.

#include <gmock/gmock.h>

#include <filesystem>
#include <sstream>
#include <string>

#include "tessera/reference/reference.hpp"
#include "tests/cli/tiny_folder.hpp"

namespace tessera::test {
namespace {

using testing::HasSubstr;

class CompareOps : public testing::Test {
 protected:
  void SetUp() override {
    if (!reference::available()) GTEST_SKIP() << "built without libtorch";
  }

  /// generate on the tiny model, with `more`.
  ProgramRun generate(const std::vector<std::string>& more, const std::string& tokens = "3") const {
    std::vector<std::string> arguments{"generate",     folder_.path(), "--prompt-ids", "3,1,4,1,5",      "--ids",
                                       "--max-tokens", tokens,         "--ignore-eos", "--weight-cache", "off"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_tessera(arguments);
  }

  TinyFolder folder_;
};

TEST_F(CompareOps, PassesEveryOpInEveryPrecisionTracedAndEagerAndChangesNoToken) {
  for (const char* const precision : {"accuracy", "performance", "full"}) {
    const ProgramRun plain = generate({"--precision", precision});
    for (const bool eager : {false, true}) {
      if (eager && precision != std::string("accuracy")) continue; // the others' eager steps: on a mesh, below
      std::vector<std::string> more{"--precision", precision, "--compare-ops=" + folder_.file("ops")};
      if (eager) more.emplace_back("--no-trace");
      const ProgramRun run = generate(more);
      EXPECT_EQ(run.exit_code, 0) << run.error;
      EXPECT_THAT(run.error, HasSubstr(" 0 below their thresholds"));
      EXPECT_THAT(run.error, HasSubstr("paged_scaled_dot_product_attention_decode"));
      EXPECT_THAT(run.error, Not(HasSubstr("not compared")));
      EXPECT_EQ(run.output, plain.output);
    }
  }
  EXPECT_FALSE(std::filesystem::exists(folder_.file("ops"))) << "nothing is saved where all pass";
}

TEST_F(CompareOps, SeesTheCollectivesOfAMeshTracedOnTwoQueuesAndEager) {
  using Words = std::vector<std::string>;
  for (Words more : {Words{"--command-queues", "2"}, Words{"--no-trace", "--precision", "performance"},
                     Words{"--precision", "full"}}) {
    more.insert(more.end(), {"--board", "n300", "--tp", "2", "--compare-ops"});
    const ProgramRun run = generate(more);
    EXPECT_EQ(run.exit_code, 0) << run.error;
    EXPECT_THAT(run.error, HasSubstr(" 0 below their thresholds"));
    EXPECT_THAT(run.error, AnyOf(HasSubstr("all_reduce"), HasSubstr("reduce_scatter")));
    EXPECT_THAT(run.error, Not(HasSubstr("not compared")));
  }
}

TEST_F(CompareOps, SaysWhereNoModelRan) {
  const std::string ids = folder_.write_ids("ids.safetensors", {1, 2}, {1, 2});
  const ProgramRun run = run_tessera({"forward", folder_.path(), "--mode", "reference", "--input", ids, "--output",
                                      folder_.file("out.safetensors"), "--compare-ops"});
  EXPECT_EQ(run.exit_code, 0) << run.error;
  EXPECT_THAT(run.error, HasSubstr("compare-ops: no model ran on a device"));
}

TEST_F(CompareOps, PassesEveryOpInExactNumerics) {
  const ProgramRun run = generate({"--numerics", "exact", "--compare-ops"}, "2");
  EXPECT_EQ(run.exit_code, 0) << run.error;
  EXPECT_THAT(run.error, HasSubstr(" 0 below their thresholds"));
}

TEST_F(CompareOps, SavesTheFirstOpBelowAndItsReplayHasTheSameFigures) {
  const ProgramRun run =
      generate({"--compare-ops=" + folder_.file("ops"), "--compare-ops-strictness", "1000", "--no-trace"});
  EXPECT_EQ(run.exit_code, 1) << run.error;
  EXPECT_THAT(run.error, HasSubstr("the first below its threshold is op "));
  const std::size_t at = run.error.find("tessera replay-op ");
  ASSERT_NE(at, std::string::npos) << run.error;
  const std::size_t begin = at + std::string("tessera replay-op ").size();
  const std::string file = run.error.substr(begin, run.error.find('\n', begin) - begin);
  const nlohmann::json report = report_of(run_tessera({"replay-op", file, "--json"}));
  EXPECT_EQ(report["saved"], report["replayed"]);
  EXPECT_EQ(report["saved"]["passed"], true) << "by the thresholds as they are";
  EXPECT_GT(report["saved"]["relative_frobenius_error"], 0.0);
}

TEST_F(CompareOps, SavesInAFolderNamedDefault) {
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder_.path());
  const ProgramRun run = generate({"--compare-ops=default", "--compare-ops-strictness", "1000", "--no-trace"}, "1");
  std::filesystem::current_path(before);
  EXPECT_EQ(run.exit_code, 1) << run.error;
  EXPECT_THAT(run.error, HasSubstr("tessera replay-op default/op-"));
  EXPECT_TRUE(std::filesystem::is_directory(folder_.file("default")));
}

TEST_F(CompareOps, WatchesTheSearchForAPrecision) {
  const ProgramRun run = run_tessera({"tune",
                                      folder_.path(),
                                      "--groups",
                                      "wo",
                                      "--trials",
                                      "0",
                                      "--front-points",
                                      "1",
                                      "--threads",
                                      "1",
                                      "--sequence-length",
                                      "16",
                                      "--max-text-tokens",
                                      "16",
                                      "--calibration-tokens",
                                      "8",
                                      "--state",
                                      folder_.file("state"),
                                      "--output",
                                      folder_.file("tuned.json"),
                                      "--compare-ops"});
  EXPECT_EQ(run.exit_code, 0) << run.error;
  EXPECT_THAT(run.error, HasSubstr(" 0 below their thresholds"));
  EXPECT_THAT(run.error, HasSubstr("paged_scaled_dot_product_attention_decode"));
}

TEST_F(CompareOps, TheCommandThatReplaysNamesTheFileOfTheBoard) {
  const std::string board =
      folder_.write("small10.json", R"({"like": "n150", "name": "small", "worker_grid": [4, 4]})");
  const ProgramRun run = generate(
      {"--board", board, "--compare-ops=" + folder_.file("ops"), "--compare-ops-strictness", "1000", "--no-trace"},
      "1");
  const std::size_t at = run.error.find("tessera replay-op ");
  ASSERT_NE(at, std::string::npos) << run.error;
  std::istringstream line(run.error.substr(at));
  std::string program;
  std::string command;
  std::string file;
  std::string option;
  std::string value;
  line >> program >> command >> file >> option >> value;
  EXPECT_EQ(option, "--board");
  EXPECT_EQ(value, board);
  const nlohmann::json report = report_of(run_tessera({command, file, option, value, "--json"}));
  EXPECT_EQ(report["saved"], report["replayed"]);
  EXPECT_EQ(report["board"], "small");
  const ProgramRun without = run_tessera({command, file});
  EXPECT_EQ(without.exit_code, 2);
  EXPECT_THAT(without.error, HasSubstr("the op ran on small"));
  EXPECT_THAT(without.error, HasSubstr("--board FILE"));
}

TEST_F(CompareOps, ReplayRefusesOtherFiles) {
  const std::string ids = folder_.write_ids("ids.safetensors", {1, 2}, {1, 2});
  const ProgramRun run = run_tessera({"replay-op", ids});
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_THAT(run.error, HasSubstr("--compare-ops"));
  EXPECT_EQ(run.error_lines(), 1U);
}

} // namespace
} // namespace tessera::test
