// The program on the golden models, as a user runs it.

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tessera/base/file.hpp"
#include "tests/cli/tiny_folder.hpp"
#include "tests/models/golden_models.hpp"

namespace tessera::test {
namespace {

using checkpoint::SafeTensors;

/// What full precision may differ from the golden fp32 outputs.
constexpr double kTolerance = 1e-3;

std::string ids_text(const std::vector<std::int64_t>& ids) {
  return fmt::format("{}", fmt::join(ids, ","));
}

std::vector<std::int64_t> row_of(const SafeTensors& golden, const std::string& name, std::int64_t row) {
  const checkpoint::TensorView& tensor = golden.at(name);
  const std::vector<std::int64_t> values = checkpoint::to_int64(tensor);
  return {values.begin() + row * tensor.shape[1], values.begin() + (row + 1) * tensor.shape[1]};
}

/// The ids that `generate` prints for a prompt in full precision.
std::vector<std::int64_t> generated(const std::string& model, const std::vector<std::int64_t>& prompt,
                                    std::size_t count) {
  const ProgramRun run = run_tessera({"generate", model, "--prompt-ids", ids_text(prompt), "--ids", "--ignore-eos",
                                      "--precision", "full", "--max-tokens", std::to_string(count)});
  EXPECT_EQ(run.exit_code, 0) << run.error;
  std::istringstream stream(run.output);
  return {std::istream_iterator<std::int64_t>(stream), {}};
}

class GoldenModel : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    folder_ = golden_folder() / GetParam();
    if (!std::filesystem::exists(folder_)) GTEST_SKIP() << folder_ << " is absent";
    golden_.emplace(SafeTensors::open(folder_ / "golden.safetensors"));
  }

  /// What `forward` writes for the golden file's input_ids.
  SafeTensors forward(const std::string& mode) {
    const std::string output = (temporary_.path() / "out").string();
    const ProgramRun run =
        run_tessera({"forward", folder_.string(), "--input", (folder_ / "golden.safetensors").string(), "--output",
                     output, "--mode", mode, "--precision", "full", "--hidden-states"});
    EXPECT_EQ(run.exit_code, 0) << run.error;
    return SafeTensors::open(output);
  }

  std::filesystem::path folder_;
  std::optional<SafeTensors> golden_;
  TemporaryFolder temporary_;
};

TEST_P(GoldenModel, ForwardIsWithinTheToleranceInPrefillAndDecode) {
  for (const char* mode : {"prefill", "decode"}) {
    const SafeTensors out = forward(mode);
    EXPECT_GT(out.tensors().size(), 2U);
    for (const std::string& name : out.names()) {
      EXPECT_LE(max_difference(golden_->at(name), out.at(name)), kTolerance) << mode << " " << name;
    }
  }
}

TEST_P(GoldenModel, GenerateReproducesTheGoldenIds) {
  if (golden_->contains("gen_ids")) {
    for (std::int64_t row = 0; row < golden_->at("gen_ids").shape[0]; ++row) {
      const auto expected = row_of(*golden_, "gen_ids", row);
      EXPECT_EQ(generated(folder_.string(), row_of(*golden_, "gen_prompt_ids", row), expected.size()), expected);
    }
    return;
  }
  for (int prompt = 0; golden_->contains(fmt::format("prompt{}.gen_ids", prompt)); ++prompt) {
    const auto expected = checkpoint::to_int64(golden_->at(fmt::format("prompt{}.gen_ids", prompt)));
    const auto ids = checkpoint::to_int64(golden_->at(fmt::format("prompt{}.prompt_ids", prompt)));
    EXPECT_EQ(generated(folder_.string(), ids, expected.size()), expected) << "prompt " << prompt;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenModel, ::testing::Values("llama3", "mistral", "qwen2", "stories260K"),
                         [](const auto& one) { return std::string(one.param); });

TEST(GoldenStories, TextGoesOnFromThePrompt) {
  const auto folder = golden_folder() / "stories260K";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is absent";
  const auto stories = nlohmann::json::parse(base::read_file(folder / "stories.json"));
  for (const auto& story : stories) {
    const std::string prompt = story.at("prompt");
    if (prompt.empty()) continue; // the program refuses an empty prompt
    const ProgramRun run = run_tessera({"generate", folder.string(), "--prompt", prompt, "--ignore-eos", "--precision",
                                        "full", "--max-tokens", std::to_string(story.at("gen_ids").size())});
    EXPECT_EQ(run.exit_code, 0) << run.error;
    EXPECT_EQ(prompt + run.output, story.at("text").get<std::string>() + "\n");
  }
}

} // namespace
} // namespace tessera::test
