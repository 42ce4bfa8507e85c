#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "tessera/base/file.hpp"
#include "tessera/models/load.hpp"
#include "tests/cli/tiny_folder.hpp"

namespace tessera::test {
namespace {

using ::testing::HasSubstr;

constexpr int kUnsupported = 5;

class Bringup : public ::testing::Test {
 protected:
  ProgramRun bringup(const std::vector<std::string>& options) {
    std::vector<std::string> arguments{"bringup", folder_.path(), "--report", folder_.file("report")};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return run_tessera(arguments);
  }
  nlohmann::json report() const { return nlohmann::json::parse(base::read_file(folder_.file("report/bringup.json"))); }

  /// A baseline of forward's reference mode, in the golden files' naming; `sign` -1 turns all logits around.
  std::string write_baseline(float sign) {
    std::vector<std::int64_t> ids;
    for (std::int64_t i = 0; i < 40; ++i) ids.push_back((i * i + 7 * i + 3) % 50);
    const ProgramRun run = run_tessera({"forward", folder_.path(), "--mode", "reference", "--input",
                                        folder_.write_ids("ids", {1, 40}, ids), "--output", folder_.file("expected")});
    if (run.exit_code != 0) return "";
    auto logits = checkpoint::to_float(checkpoint::SafeTensors::open(folder_.file("expected")).at("logits"));
    for (float& value : logits) value *= sign;
    const checkpoint::OutputTensor tensors[] = {
        {"input_ids", checkpoint::StorageType::I64, {1, 40}, std::as_bytes(std::span(ids))},
        {"logits", checkpoint::StorageType::F32, {1, 40, 50}, std::as_bytes(std::span(logits))}};
    checkpoint::write_safetensors(folder_.file("baseline"), tensors);
    return folder_.file("baseline");
  }

  TinyFolder folder_;
};

TEST_F(Bringup, PassesAndLeavesReports) {
  const ProgramRun run = bringup({"--precision", "full"});
  if (run.exit_code == kUnsupported) GTEST_SKIP() << "built without libtorch";
  EXPECT_EQ(run.exit_code, 0) << run.output << run.error;
  EXPECT_THAT(run.output, HasSubstr("teacher-forcing passed"));
  EXPECT_THAT(run.error, HasSubstr("works on ids"));
  EXPECT_THAT(run.error, ::testing::Not(HasSubstr("\r"))); // progress is for terminals
  EXPECT_EQ(report().at("stages").size(), 13U);
  EXPECT_THAT(base::read_file(folder_.file("report/bringup.xml")), HasSubstr("<testsuite"));
}

TEST_F(Bringup, RunsAreComparedAndTheirPagesMadeAgain) {
  const std::vector<std::string> stages{"--stages", "decoder-layer,full-decode", "--precision"};
  const auto run_into = [&](const std::string& precision, const char* name) {
    std::vector<std::string> options = stages;
    options.insert(options.end(), {precision, "--report", folder_.file(name)});
    std::vector<std::string> arguments{"bringup", folder_.path()};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return run_tessera(arguments).exit_code;
  };
  if (run_into("bf16", "before") == kUnsupported) GTEST_SKIP() << "built without libtorch";
  const std::filesystem::path weights = folder_.file("model.safetensors");
  std::filesystem::last_write_time(weights, std::filesystem::last_write_time(weights) + std::chrono::hours(1));
  run_into("bf16", "again");
  run_into("bfp4", "worse");
  const ProgramRun same = run_tessera({"compare", folder_.file("before"), folder_.file("again")});
  EXPECT_EQ(same.exit_code, 0) << same.output << same.error;
  EXPECT_THAT(same.output, HasSubstr("Nothing changed."));
  const ProgramRun worse = run_tessera({"compare", folder_.file("before"), folder_.file("worse")});
  EXPECT_EQ(worse.exit_code, 1);
  EXPECT_THAT(worse.output, HasSubstr("layers.0"));
  EXPECT_EQ(run_tessera({"compare", folder_.file("before"), folder_.file("nowhere")}).exit_code, 3);
  EXPECT_EQ(run_tessera({"compare", folder_.file("before"), folder_.file("worse"), "--tolerance", "nan"}).exit_code, 2);

  const std::string page = base::read_file(folder_.file("before/report.html"), 10 << 20);
  std::filesystem::remove(folder_.file("before/report.html"));
  EXPECT_EQ(run_tessera({"report", folder_.file("before")}).exit_code, 0);
  EXPECT_EQ(base::read_file(folder_.file("before/report.html"), 10 << 20), page);
  EXPECT_EQ(run_tessera({"report", folder_.file("nowhere")}).exit_code, 3);
}

TEST_F(Bringup, ReadsTextAndPromptWithATokenizer) {
  folder_.write("tokenizer.json", small_tokenizer());
  const TinyFolder with_bytes(nlohmann::json{{"vocab_size", 263}});
  with_bytes.write("tokenizer.json", small_tokenizer());
  const std::string text = with_bytes.write("text.txt", "ab ba abba baab ab ab a b a bb abab");
  const ProgramRun run =
      run_tessera({"bringup", with_bytes.path(), "--precision", "full", "--prompt", "ab a", "--prompt", "ba", "--text",
                   text, "--report", with_bytes.file("report"), "--stages", "baseline,generation"});
  if (run.exit_code == kUnsupported) GTEST_SKIP() << "built without libtorch";
  EXPECT_EQ(run.exit_code, 0) << run.output << run.error;
  EXPECT_THAT(run.output, HasSubstr("prompt 1"));
  EXPECT_THAT(run.error, HasSubstr("text.txt"));
}

TEST_F(Bringup, ResumesWhatPassed) {
  const ProgramRun first = bringup({"--precision", "full", "--stages", "baseline"});
  if (first.exit_code == kUnsupported) GTEST_SKIP() << "built without libtorch";
  EXPECT_EQ(first.exit_code, 0) << first.error;
  EXPECT_EQ(bringup({"--precision", "full", "--stages", "baseline,generation", "--resume"}).exit_code, 0);
  const nlohmann::json stages = report().at("stages");
  ASSERT_EQ(stages.size(), 2U);
  EXPECT_EQ(stages.at(0).at("resumed"), true);
  EXPECT_EQ(stages.at(1).at("resumed"), false);
}

TEST_F(Bringup, TakesTheFirstLayersOnly) {
  const ProgramRun run = bringup({"--precision", "full", "--layers", "1", "--stages", "full-decode", "--json"});
  if (run.exit_code == kUnsupported) GTEST_SKIP() << "built without libtorch";
  EXPECT_EQ(run.exit_code, 0) << run.error;
  EXPECT_THAT(run.output, HasSubstr("layers.0"));
  EXPECT_THAT(run.output, ::testing::Not(HasSubstr("layers.1")));
}

TEST_F(Bringup, TakesABaselineMadeElsewhere) {
  const std::string baseline = write_baseline(1.0F);
  if (baseline.empty()) GTEST_SKIP() << "built without libtorch";
  const ProgramRun run = bringup({"--precision", "full", "--reference", baseline});
  EXPECT_EQ(run.exit_code, 0) << run.output << run.error;
  EXPECT_THAT(run.output, HasSubstr("full-model passed"));
}

TEST_F(Bringup, FailsWithExitCode1) {
  const std::string baseline = write_baseline(-1.0F);
  if (baseline.empty()) GTEST_SKIP() << "built without libtorch";
  const ProgramRun run = bringup({"--precision", "full", "--reference", baseline, "--stages", "full-model"});
  EXPECT_EQ(run.exit_code, 1) << run.error;
  EXPECT_THAT(run.output, HasSubstr("full-model failed"));
}

/// All tensors of a configuration in BF16, in a file that takes no room on the disk: every byte is a hole.
void write_hollow_weights(const std::filesystem::path& path, const checkpoint::Checkpoint& config) {
  nlohmann::json header;
  std::uint64_t end = 0;
  for (const nn::TensorExpectation& tensor : models::expected_tensors(config)) {
    if (tensor.optional) continue;
    const std::uint64_t begin = end;
    end += checkpoint::storage_bytes(tensor.shape, checkpoint::StorageType::BF16).value();
    header[tensor.name] = {{"dtype", "BF16"}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
  }
  const std::string text = header.dump();
  const std::uint64_t length = text.size();
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), sizeof length);
  file.write(text.data(), static_cast<std::streamsize>(length));
  file.close();
  std::filesystem::resize_file(path, sizeof length + length + end);
}

TEST(BringupOfALargeModel, SaysThatItDoesNotFitBeforeItLoadsAnything) {
  const TemporaryFolder folder;
  const std::string config = std::string(TESSERA_SOURCE_DIR) + "/configs/llama-3.1-8b.json";
  folder.write("config.json", base::read_file(config));
  write_hollow_weights(folder.path() / "model.safetensors", checkpoint::Checkpoint::open_config(config));
  const std::string report = (folder.path() / "report").string();
  const ProgramRun run = run_tessera({"bringup", folder.path().string(), "--precision", "bf16", "--report", report});
  EXPECT_EQ(run.exit_code, 4) << run.error;
  EXPECT_EQ(run.error_lines(), 1U) << run.error;
  EXPECT_EQ(run.output, "");
  for (const char* part : {"[allocate]", "n150", "held by", "--precision bfp8"})
    EXPECT_THAT(run.error, HasSubstr(part));
}

} // namespace
} // namespace tessera::test
