#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tessera/base/file.hpp"
#include "tests/cli/tiny_folder.hpp"

namespace tessera::test {
namespace {

using ::testing::HasSubstr;

constexpr int kUnsupported = 5;

ProgramRun bisect(const TinyFolder& folder, const std::vector<std::string>& options) {
  std::vector<std::string> arguments{"bisect", folder.path(), "--sequence-length", "16", "--max-text-tokens", "32"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  return run_tessera(arguments);
}

TEST(Bisect, EndsWithASentenceAndLeavesTheRemedyAndAPicture) {
  const TinyFolder folder;
  const std::string precision = folder.write("low.json", R"({"base": "bf16", "layers": {"1": {"ff1_3": "bfp2"}}})");
  const ProgramRun run = bisect(folder, {"--precision", precision, "--report", folder.file("report")});
  if (run.exit_code == kUnsupported) GTEST_SKIP() << "built without libtorch";
  EXPECT_EQ(run.exit_code, 0) << run.error;
  EXPECT_THAT(run.output, HasSubstr("layers.1.mlp: ff1_3 of layer 1 in bfp2 loses"));
  EXPECT_THAT(run.output, HasSubstr("has the largest error of its own"));
  EXPECT_THAT(base::read_file(folder.file("report/bisect.svg")), HasSubstr("layers.1.mlp"));
  const auto remedy = nlohmann::json::parse(base::read_file(folder.file("report/precision.json")));
  EXPECT_NE(remedy.at("layers").at("1").at("ff1_3"), "bfp2");
}

TEST(Bisect, KeepsThePrecisionThatItWasGivenAndNoStaleRemedy) {
  const TinyFolder folder;
  const std::string given = R"({"base": "bf16"})";
  const std::string precision = folder.write("report/precision.json", given);
  const ProgramRun refused = bisect(folder, {"--precision", precision, "--report", folder.file("report/.")});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.error, HasSubstr("choose another folder"));
  EXPECT_EQ(base::read_file(precision), given);

  folder.write("report/bisect.json", "{}"); // as an earlier run left it
  const ProgramRun healthy = bisect(folder, {"--precision", "full", "--report", folder.file("report")});
  if (healthy.exit_code == kUnsupported) GTEST_SKIP() << "built without libtorch";
  EXPECT_EQ(healthy.exit_code, 0) << healthy.error;
  EXPECT_FALSE(std::filesystem::exists(precision));
}

TEST(Bisect, GivesEverythingAsJson) {
  const TinyFolder folder;
  const ProgramRun run = bisect(folder, {"--precision", "full", "--json"});
  if (run.exit_code == kUnsupported) GTEST_SKIP() << "built without libtorch";
  const nlohmann::json report = report_of(run);
  EXPECT_EQ(report.at("finding").at("cause"), "none");
  EXPECT_EQ(report.at("numerics"), "native");
  EXPECT_EQ(report.at("modules").size(), 15U);
}

TEST(Bisect, SendsClassifiersToBringup) {
  const ProgramRun run = run_tessera({"bisect", std::string(TESSERA_SOURCE_DIR) + "/demo/vision"});
  EXPECT_EQ(run.exit_code, kUnsupported);
  EXPECT_THAT(run.error, HasSubstr("bringup"));
}

TEST(Bisect, RefusesAReferenceThatIsNotFinite) {
  const TinyFolder folder = folder_with_nan();
  const ProgramRun run = run_tessera({"bisect", folder.path()});
  if (run.exit_code == kUnsupported) GTEST_SKIP() << "built without libtorch";
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.error, HasSubstr("finite logits of the reference are required"));
  EXPECT_THAT(run.error, HasSubstr("--stages baseline"));
}

} // namespace
} // namespace tessera::test
