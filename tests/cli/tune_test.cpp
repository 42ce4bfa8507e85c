#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "tessera/base/file.hpp"
#include "tests/cli/tiny_folder.hpp"

namespace tessera::test {
namespace {

using ::testing::HasSubstr;

constexpr int kInterrupted = 7;
constexpr int kUnsupported = 5;

class Tune : public ::testing::Test {
 protected:
  std::vector<std::string> arguments(const std::vector<std::string>& options, const std::string& checkpoint = "") {
    std::vector<std::string> all{"tune",     checkpoint.empty() ? folder_.path() : checkpoint,
                                 "--state",  folder_.file("state"),
                                 "--output", folder_.file("tuned.json")};
    all.insert(all.end(), options.begin(), options.end());
    return all;
  }
  ProgramRun tune(const std::vector<std::string>& options) { return run_tessera(arguments(options)); }

  TinyFolder folder_;
};

const std::vector<std::string> kSmall{"--groups", "wo,ff2", "--trials", "2", "--threads", "1", "--json"};

TEST_F(Tune, WritesAPrecisionAndTakesItsMeasurementsOver) {
  const ProgramRun first = tune(kSmall);
  if (first.exit_code == kUnsupported) GTEST_SKIP() << "built without libtorch";
  const nlohmann::json report = report_of(first);
  EXPECT_EQ(report.at("chosen").at("precision"), nlohmann::json::parse(base::read_file(folder_.file("tuned.json"))));
  EXPECT_LE(report.at("chosen").at("weight_bytes_per_token"), report.at("base").at("weight_bytes_per_token"));
  EXPECT_EQ(report.at("sensitivities").size(), 8U); // two groups of two layers, one up and one down each
  EXPECT_EQ(report_of(tune(kSmall)), report);
  EXPECT_EQ(run_tessera({"forward", folder_.path(), "--precision", folder_.file("tuned.json"), "--input",
                         folder_.write_ids("ids", {1, 3}, {1, 2, 3}), "--output", folder_.file("logits")})
                .exit_code,
            0);
}

TEST_F(Tune, JudgesAsManyTokensAsBringup) {
  std::vector<std::string> options{"--sequence-length", "16", "--max-text-tokens", "40"};
  options.insert(options.end(), kSmall.begin(), kSmall.end());
  const ProgramRun run = tune(options);
  if (run.exit_code == kUnsupported) GTEST_SKIP() << "built without libtorch";
  EXPECT_EQ(report_of(run).at("base").at("accuracy").at("positions"), 40);
}

TEST_F(Tune, EndsOnCtrlCAndGoesOnFromThere) {
  if (tune({"--max-kl", "-1", "--groups", "wo", "--trials", "0"}).exit_code == kUnsupported)
    GTEST_SKIP() << "built without libtorch";
  // Sequences of another length: measurements of its own, in a second file.
  const std::vector<std::string> many{"--sequence-length", "32", "--threads", "1", "--json"};
  const ProgramRun stopped = run_tessera(arguments(many), "", [&](int process, const std::filesystem::path&) {
    const std::string first = folder_.file("state");
    for (int i = 0; i < 6000; ++i) {
      std::size_t files = 0;
      std::error_code error;
      for (const auto& entry : std::filesystem::directory_iterator(first, error))
        files += entry.path().filename().string().starts_with("measurements-") ? 1 : 0;
      if (files == 2) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    ::kill(process, SIGINT);
  });
  EXPECT_EQ(stopped.exit_code, kInterrupted) << stopped.error;
  EXPECT_THAT(stopped.error, HasSubstr("goes on from them"));
  EXPECT_EQ(tune(many).exit_code, 0);
}

TEST_F(Tune, SaysWhatIsWrong) {
  EXPECT_THAT(tune({"--objective", "beauty"}).error, HasSubstr("weight-bytes or tokens-per-s"));
  EXPECT_THAT(tune({"--groups", "wq"}).error, HasSubstr("the tensor groups are"));
  EXPECT_THAT(tune({"--precision", "full"}).error, HasSubstr("preset other than full"));
  EXPECT_THAT(tune({"--max-bytes", "nan"}).error, HasSubstr("a number of bytes above 0"));
  EXPECT_THAT(run_tessera({"tune", folder_.path(), "--output", "tuned.txt"}).error, HasSubstr(".json"));
  EXPECT_THAT(run_tessera({"tune", TESSERA_DEMO "/vision"}).error, HasSubstr("language models"));
}

TEST_F(Tune, ChecksLimitsAndFilesBeforeTheSearch) {
  const ProgramRun unit = tune({"--max-bytes", "3.1MB"});
  EXPECT_EQ(unit.exit_code, 2);
  EXPECT_THAT(unit.error, HasSubstr("without a unit, or one of bf16, bfp8, bfp4, accuracy, performance"));
  EXPECT_THAT(tune({"--max-bytes", "1"}).error, HasSubstr("bytes of weights or more"));
  folder_.write("x.json/file", "");
  const ProgramRun unwritable = run_tessera({"tune", folder_.path(), "--output", folder_.file("x.json")});
  EXPECT_EQ(unwritable.exit_code, 3);
  EXPECT_THAT(unwritable.error, HasSubstr("is a folder"));
}

TEST_F(Tune, ReachesNothingBeyondTheModel) {
  const ProgramRun run = tune({"--max-kl", "-1", "--groups", "wo", "--trials", "0", "--threads", "1"});
  if (run.exit_code == kUnsupported) GTEST_SKIP() << "built without libtorch";
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.error, HasSubstr("nothing that was measured keeps to the limits"));
  EXPECT_FALSE(std::filesystem::exists(folder_.file("tuned.json")));
}

TEST_F(Tune, RefusesAReferenceThatIsNotFinite) {
  const TinyFolder folder = folder_with_nan();
  const ProgramRun run = run_tessera(arguments(kSmall, folder.path()));
  if (run.exit_code == kUnsupported) GTEST_SKIP() << "built without libtorch";
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.error, HasSubstr("finite logits of the reference are required"));
  EXPECT_THAT(run.error, HasSubstr("--stages baseline"));
}

} // namespace
} // namespace tessera::test
