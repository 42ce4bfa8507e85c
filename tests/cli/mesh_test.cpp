// Commands that run a model, on boards of several chips.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/tiny_folder.hpp"

namespace tessera::test {
namespace {

using ::testing::HasSubstr;

constexpr int kUnsupported = 5;

class OnMesh : public ::testing::Test {
 protected:
  ProgramRun run(const std::string& command, std::vector<std::string> options) {
    options.insert(options.begin(), {command, folder_.path()});
    return run_tessera(options);
  }
  ProgramRun generate(std::vector<std::string> options) {
    options.insert(options.end(), {"--prompt-ids", "1,2,3", "--ids", "--max-tokens", "12", "--ignore-eos"});
    return run("generate", options);
  }

  TinyFolder folder_; // 4 query heads, 2 key-value heads
};

TEST_F(OnMesh, GeneratesWhatOneChipGenerates) {
  const std::string one = generate({"--precision", "full"}).output;
  for (const auto& [tp, dp] : {std::pair{"2", "1"}, {"4", "2"}, {"2x2", "1"}, {"1x4", "2"}, {"1", "8"}}) {
    const ProgramRun run = generate({"--precision", "full", "--board", "t3000", "--tp", tp, "--dp", dp});
    EXPECT_EQ(run.exit_code, 0) << run.error;
    EXPECT_EQ(run.output, one) << "tp " << tp << ", dp " << dp;
    EXPECT_THAT(run.error, HasSubstr("t3000: "));
  }
}

TEST_F(OnMesh, SaysWhatTheBoardIsSharedOutInto) {
  const auto report = nlohmann::json::parse(generate({"--board", "n300", "--json"}).output);
  EXPECT_EQ(report.at("dp"), 1); // one user
  EXPECT_EQ(report.at("tp"), 1);
  EXPECT_THAT(generate({"--board", "n300", "--tp", "2"}).error, HasSubstr("n300: 2 of 2 chips, dp 1, tp 2"));
  EXPECT_THAT(generate({}).error, ::testing::Not(HasSubstr("chips")));
}

TEST_F(OnMesh, RefusesHeadsThatTheChipsCannotShare) {
  const ProgramRun run = generate({"--board", "t3000", "--tp", "8"});
  EXPECT_NE(run.exit_code, 0);
  EXPECT_THAT(run.error, HasSubstr("4 query heads and 2 key-value heads"));
  EXPECT_THAT(run.error, HasSubstr("on t3000 these work: --tp 1, 2, 4"));
}

TEST_F(OnMesh, ForwardSpreadsSequencesOverCopies) {
  const std::string ids = folder_.write_ids("ids", {3, 4}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  const auto logits = [&](const std::vector<std::string>& mesh) {
    std::vector<std::string> options{"--input", ids, "--output", folder_.file("out"), "--mode", "decode"};
    options.insert(options.end(), mesh.begin(), mesh.end());
    EXPECT_EQ(run("forward", options).exit_code, 0);
    return checkpoint::to_float(checkpoint::SafeTensors::open(folder_.file("out")).at("logits"));
  };
  EXPECT_EQ(logits({"--board", "t3000", "--dp", "2"}), logits({}));
}

TEST_F(OnMesh, BenchCountsTheUsersOfAllCopies) {
  const auto report =
      report_of(run("bench", {"--board", "t3000", "--tp", "2", "--dp", "2", "--prefill", "8", "--decode", "2",
                              "--prompt", "4", "--batch", "40", "--repeats", "1", "--json"}));
  EXPECT_EQ(report.at("dp"), 2);
  EXPECT_EQ(report.at("tp"), 2);
  EXPECT_EQ(report.at("decode").at(0).at("batch"), 40);
}

TEST(FalconOnMesh, RunsAsCopiesThatShareLayers) {
  const nlohmann::json config = tiny_falcon_config({{"new_decoder_architecture", true},
                                                    {"hidden_size", 64}, // 16 for each of 4 chips: not whole tiles
                                                    {"num_attention_heads", 8},
                                                    {"num_kv_heads", 8},
                                                    {"ffn_hidden_size", 100},
                                                    {"vocab_size", 51}});
  const TemporaryFolder folder;
  write_tiny_checkpoint(folder, config, tiny_weights(config));
  const std::vector<std::int64_t> ids{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  const checkpoint::OutputTensor tensor{
      "input_ids", checkpoint::StorageType::I64, {3, 4}, std::as_bytes(std::span(ids))};
  checkpoint::write_safetensors((folder.path() / "ids").string(), {&tensor, 1});
  for (const char* mode : {"prefill", "decode"}) {
    const auto forward = [&](const std::string& output, const std::vector<std::string>& mesh) {
      const std::string path = (folder.path() / output).string();
      std::vector<std::string> words{
          "forward", folder.path().string(), "--input", (folder.path() / "ids").string(), "--output", path, "--mode",
          mode,      "--precision",          "full"};
      words.insert(words.end(), mesh.begin(), mesh.end());
      const ProgramRun run = run_tessera(words);
      EXPECT_EQ(run.exit_code, 0) << run.error;
      return checkpoint::SafeTensors::open(path);
    };
    const auto one = forward("one", {});
    const auto mesh = forward("mesh", {"--board", "t3000", "--dp", "2", "--tp", "4"});
    EXPECT_LE(max_difference(one.at("logits"), mesh.at("logits")), 1e-4) << mode;
  }
}

TEST_F(OnMesh, BringsUpCopiesAndSharedLayers) {
  const ProgramRun run = this->run("bringup", {"--board", "n300", "--precision", "full", "--stages",
                                               "data-parallel,tensor-parallel", "--report", folder_.file("report")});
  if (run.exit_code == kUnsupported) GTEST_SKIP() << "built without libtorch";
  EXPECT_EQ(run.exit_code, 0) << run.output << run.error;
  for (const char* part : {"data-parallel passed", "dp 2, tp 1: layers.0.attention", "tensor-parallel passed",
                           "tp 2: layers.1.mlp", "tp 2: logits", "PASSED: 2 of 2"})
    EXPECT_THAT(run.output, HasSubstr(part));
}

} // namespace
} // namespace tessera::test
