#include <gtest/gtest.h>

#include <set>

#include "tests/cli/tiny_folder.hpp"

namespace tessera::test {
namespace {

using checkpoint::SafeTensors;

class Forward : public ::testing::Test {
 protected:
  /// Runs forward on two sequences of five ids and opens what it wrote.
  SafeTensors forward(const std::vector<std::string>& options) {
    std::vector<std::string> arguments{"forward", folder_.path(), "--input", ids_, "--output", folder_.file("out")};
    arguments.insert(arguments.end(), options.begin(), options.end());
    last_ = run_tessera(arguments);
    EXPECT_EQ(last_.exit_code, 0) << last_.error;
    return SafeTensors::open(folder_.file("out"));
  }

  TinyFolder folder_;
  std::string ids_ = folder_.write_ids("ids", {2, 5}, {3, 1, 4, 1, 5, 9, 2, 6, 49, 0});
  ProgramRun last_;
};

TEST_F(Forward, WritesLogitsAlone) {
  const SafeTensors out = forward({});
  EXPECT_EQ(out.names(), std::vector<std::string>{"logits"});
  EXPECT_EQ(out.at("logits").shape, (std::vector<std::int64_t>{2, 5, 50}));
  EXPECT_EQ(out.at("logits").dtype, checkpoint::StorageType::F32);
  EXPECT_EQ(last_.output, "");
}

TEST_F(Forward, WritesHiddenStatesAsTheGoldenFilesNameThem) {
  const SafeTensors out = forward({"--hidden-states"});
  EXPECT_EQ(out.tensors().size(), 4U);
  for (const char* name : {"hidden_states.0", "hidden_states.1", "hidden_states.2"}) {
    EXPECT_EQ(out.at(name).shape, (std::vector<std::int64_t>{2, 5, 24})) << name;
  }
}

TEST_F(Forward, PrefillDecodeAndReferenceAgreeInFullPrecision) {
  const SafeTensors prefill = forward({"--precision", "full", "--hidden-states"});
  for (const char* mode : {"decode", "reference"}) {
    const SafeTensors other = forward({"--precision", "full", "--hidden-states", "--mode", mode});
    if (last_.exit_code == 5) GTEST_SKIP() << "built without libtorch";
    for (const std::string& name : prefill.names()) {
      EXPECT_LT(max_difference(prefill.at(name), other.at(name)), 1e-4) << mode << " " << name;
    }
  }
}

TEST_F(Forward, AcceptsAPrecisionFile) {
  const std::string file = folder_.write("mine.json", R"({"base": "bf16", "ff1_3": "bfp4"})");
  const SafeTensors mine = forward({"--precision", file});
  const SafeTensors bf16 = forward({"--precision", "bf16"});
  EXPECT_GT(max_difference(mine.at("logits"), bf16.at("logits")), 0.0);
}

TEST_F(Forward, GivesTheSameBitsForOneAndTwoThreads) {
  const SafeTensors one = forward({"--threads", "1", "--mode", "decode"});
  const SafeTensors two = forward({"--threads", "2", "--mode", "decode"});
  EXPECT_EQ(max_difference(one.at("logits"), two.at("logits")), 0.0);
}

TEST_F(Forward, JsonListsTheOpsOfOneStep) {
  for (const char* mode : {"prefill", "decode"}) {
    forward({"--json", "--mode", mode});
    const nlohmann::json report = nlohmann::json::parse(last_.output);
    EXPECT_EQ(report.at("precision"), "accuracy");
    std::int64_t attentions = 0;
    std::set<std::string> scopes;
    for (const auto& op : report.at("ops")) {
      const std::string name = op.at("name");
      attentions += name.find("scaled_dot_product_attention") != std::string::npos;
      scopes.insert(op.at("scope"));
      if (name == "from_host") continue; // a write: it reads no tensor
      ASSERT_FALSE(op.at("inputs").empty()) << name;
      for (const char* key : {"dtype", "shape", "layout", "buffer_type", "memory_layout", "address"}) {
        EXPECT_TRUE(op.at("inputs").at(0).contains(key)) << name << " " << key;
      }
      EXPECT_TRUE(op.at("work").contains("matmul_flops")) << name;
    }
    EXPECT_EQ(attentions, 2) << mode << ": one step, one attention for each layer";
    EXPECT_TRUE(scopes.contains("layers.1.attention")) << mode;
  }
}

} // namespace
} // namespace tessera::test
