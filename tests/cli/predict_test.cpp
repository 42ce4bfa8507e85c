#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/one_line_error.hpp"
#include "tests/cli/tiny_folder.hpp"

namespace tessera::test {
namespace {

using ::testing::HasSubstr;

ProgramRun predict(std::vector<std::string> options) {
  options.insert(options.begin(), "predict");
  return run_tessera(options);
}

TEST(Predict, TellsTimeBoundCyclesBytesErrorAndRelease) {
  const auto report = report_of(predict({"--matmul", "2048,2048,2048", "--dtype", "bfloat8_b", "--fidelity", "HiFi2",
                                         "--board", "n150", "--tuned", "--in0", "l1", "--trace", "--json"}));
  EXPECT_GT(report.at("time_ns"), 131072); // 2^18 products of tiles, 32 cycles each, on 64 cores at 1 GHz
  EXPECT_EQ(report.at("ideal_ns"), 131072);
  EXPECT_EQ(report.at("bound"), "matrix unit");
  EXPECT_GT(report.at("cycles"), 131072);
  EXPECT_EQ(report.at("bytes"), 64 * 64 * 1088);
  EXPECT_GT(report.at("error"), 0);
  EXPECT_THAT(report.at("release").get<std::string>(), HasSubstr("TT-NN"));
  EXPECT_EQ(report.at("predicted"), true);
}

TEST(Predict, WithoutATraceCountsTheHost) {
  const std::vector<std::string> options{"--matmul", "512,1024,1024", "--json"};
  std::vector<std::string> traced = options;
  traced.emplace_back("--trace");
  const auto untraced = report_of(predict(options));
  EXPECT_EQ(untraced.at("bound"), "host");
  EXPECT_GT(untraced.at("time_ns"), report_of(predict(traced)).at("time_ns"));
}

TEST(Predict, TakesBlackholesGridFromTheShapeOrTheOption) {
  const auto cores = [](const char* shape, std::vector<std::string> more) {
    more.insert(more.end(), {"--matmul", shape, "--board", "p150", "--json"});
    return report_of(predict(more)).at("grid");
  };
  EXPECT_EQ(cores("640,704,704", {}), nlohmann::json({10, 11}));
  EXPECT_EQ(cores("640,1664,1664", {}), nlohmann::json({10, 13}));
  EXPECT_EQ(cores("640,704,704", {"--grid", "4x4"}), nlohmann::json({4, 4}));
}

TEST(Predict, PrintsWhatItIs) {
  const ProgramRun run = predict({"--matmul", "1024,1024,1024"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.output, HasSubstr("Predicted for the card"));
  EXPECT_THAT(run.output, HasSubstr("half of such predictions within"));
}

TEST(Predict, RefusesWhatItCannotMeanInOneLine) {
  const auto refused = [](const std::vector<std::string>& options, const char* mentions) {
    const ProgramRun run = predict(options);
    EXPECT_EQ(run.exit_code, 2) << run.error;
    EXPECT_EQ(run.error_lines(), 1U) << run.error;
    EXPECT_THAT(run.error, HasSubstr(mentions));
  };
  refused({"--matmul", "1,2"}, "M,K,N");
  refused({"--matmul", "1,2,3,4"}, "M,K,N");
  refused({"--matmul", "0,2,3"}, "M,K,N");
  refused({"--matmul", "-1,2,3"}, "M,K,N");
  refused({"--matmul", "1x2x3"}, "M,K,N");
  refused({"--matmul", "99999999999999999999,1,1"}, "M,K,N");
  refused({"--matmul", "32,32,32", "--dtype", "fp8"}, "--dtype");
  refused({"--matmul", "32,32,32", "--fidelity", "HiFi5"}, "--fidelity");
  refused({"--matmul", "32,32,32", "--board", "n160"}, "n150");
  refused({"--matmul", "32,32,32", "--in0", "sram"}, "--in0");
  refused({"--matmul", "32,32,32", "--in0", "l1", "--default"}, "--default");
  refused({"--matmul", "32,32,32", "--tuned", "--default"}, "both");
  refused({"--matmul", "32,32,32", "--grid", "9x9"}, "8x8");
}

} // namespace
} // namespace tessera::test
