#include "tessera/bringup/checkpoint_check.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "tessera/bringup/identity.hpp"
#include "tests/bringup/bench.hpp"

namespace tessera::bringup {
namespace {

using checkpoint::Checkpoint;
using checkpoint::StorageType;
using testing::TemporaryFolder;

/// A checkpoint with two tensors, as its folder is filled by a test.
class CheckpointCheck : public ::testing::Test {
 protected:
  Checkpoint write(const std::string& config = R"({"model_type": "llama", "eos_token_id": [2, 7]})") {
    std::ofstream(folder_.path() / "config.json") << config;
    checkpoint::write_safetensors(folder_.path() / "model.safetensors", tensors_);
    return Checkpoint::open(folder_.path().string());
  }

  static std::vector<std::string> problems(const std::vector<Row>& rows) {
    std::vector<std::string> found;
    for (const Row& row : rows) {
      if (!row.passed) found.push_back(row.module + ": " + row.notes.at(0));
      EXPECT_EQ(row.passed, row.advice.empty());
    }
    return found;
  }

  TemporaryFolder folder_;
  std::vector<float> values_{1.0F, 2.0F, 3.0F, 4.0F};
  std::vector<float> others_{1.0F, 2.0F, 3.0F, 5.0F};
  std::vector<checkpoint::OutputTensor> tensors_{
      {"embed.weight", StorageType::F32, {2, 2}, std::as_bytes(std::span(values_))},
      {"norm.weight", StorageType::F32, {4}, std::as_bytes(std::span(values_))}};
  std::vector<nn::TensorExpectation> expected_{{"embed.weight", {2, 2}}, {"norm.weight", {4}}};
};

TEST_F(CheckpointCheck, CountsTensorsWhenAllIsWell) {
  const auto rows = check_tensors(write(), expected_);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_TRUE(rows[0].passed);
  EXPECT_EQ(rows[0].figures[0].value, 2.0);
}

TEST_F(CheckpointCheck, NamesMissingMisshapenAndUnusedTensors) {
  expected_ = {{"embed.weight", {2, 3}}, {"norm.weights", {4}}, {"bias", {4}, true}};
  EXPECT_EQ(problems(check_tensors(write(), expected_)),
            (std::vector<std::string>{"embed.weight: misshapen: the config asks for [2, 3]; the checkpoint has [2, 2]",
                                      "norm.weights: missing: the config asks for it with shape [4]",
                                      "norm.weight: unused: no part of the model reads it"}));
}

TEST_F(CheckpointCheck, RefusesIntegerWeights) {
  tensors_[1].dtype = StorageType::I32;
  EXPECT_EQ(problems(check_tensors(write(), expected_)),
            (std::vector<std::string>{"norm.weight: must be floating point; received I32"}));
}

TEST_F(CheckpointCheck, ComparesATiedTensorThatIsStoredToo) {
  tensors_.push_back({"lm_head.weight", StorageType::F32, {2, 2}, std::as_bytes(std::span(values_))});
  expected_.push_back({"lm_head.weight", {2, 2}, true});
  EXPECT_TRUE(problems(check_tensors(write(), expected_)).empty());
  tensors_.back().data = std::as_bytes(std::span(others_));
  EXPECT_EQ(problems(check_tensors(write(), expected_)),
            (std::vector<std::string>{"lm_head.weight: the config ties it to embed.weight, but its values differ"}));
}

TEST_F(CheckpointCheck, FindsSpecialIdsOutsideTheVocabulary) {
  EXPECT_TRUE(check_special_ids(write(), 8).passed);
  const Row row = check_special_ids(write(), 7);
  EXPECT_FALSE(row.passed);
  EXPECT_EQ(row.notes.at(0), "eos_token_id in config.json must be below vocab_size 7; received 7");
}

TEST_F(CheckpointCheck, BaselineReportsTheCheckpoint) {
  const Checkpoint checkpoint = write();
  testing::Bench bench;
  Inputs inputs = bench.inputs();
  inputs.checkpoint = &checkpoint;
  inputs.expected_tensors = {{"embed.weight", {2, 2}}};
  Progress silent;
  const Report report = run(inputs, {.stages = {"baseline"}}, silent);
  EXPECT_EQ(report.stages[0].verdict, Verdict::FAILED);
  EXPECT_EQ(report.stages[0].rows[0].module, "norm.weight");
}

TEST_F(CheckpointCheck, IdentityFollowsTheContent) {
  const std::string before = checkpoint_identity(write());
  EXPECT_EQ(checkpoint_identity(Checkpoint::open(folder_.path().string())), before);
  EXPECT_NE(checkpoint_identity(write(R"({"model_type": "llama"})")), before);
}

// In CI every clone has files of another time.
TEST_F(CheckpointCheck, ContentIsTheSameWheneverTheFilesWereWritten) {
  const auto open = [&] { return Checkpoint::open(folder_.path().string()); };
  const std::string files = checkpoint_identity(write());
  const std::string content = checkpoint_content(open());
  const auto weights = folder_.path() / "model.safetensors";
  std::filesystem::last_write_time(weights, std::filesystem::last_write_time(weights) + std::chrono::hours(1));
  EXPECT_EQ(checkpoint_content(open()), content);
  EXPECT_NE(checkpoint_identity(open()), files);
  tensors_[0].data = std::as_bytes(std::span(others_));
  EXPECT_NE(checkpoint_content(write()), content);
  tensors_[0].data = std::as_bytes(std::span(values_));
  EXPECT_EQ(checkpoint_content(write()), content);
  EXPECT_NE(checkpoint_content(write(R"({"model_type": "llama"})")), content);
}

} // namespace
} // namespace tessera::bringup
