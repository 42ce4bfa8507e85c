// The device's classifiers of texts against outputs of Hugging Face's implementations.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/metrics/comparison.hpp"
#include "tests/models/golden_models.hpp"
#include "tests/models/text_golden.hpp"

namespace tessera {
namespace {

constexpr double kFullTolerance = 1e-4;

class GoldenTexts : public testing::TestWithParam<std::filesystem::path> {
 protected:
  std::unique_ptr<nn::ClassifierModel> open_model(const std::string& precision) const {
    return models::load_classifier(runtime::MeshDevice::open({.board = board("n150")}),
                                   checkpoint::Checkpoint::open(GetParam().string()), {.precision = precision});
  }
  checkpoint::SafeTensors golden_ = checkpoint::SafeTensors::open(GetParam() / "golden.safetensors");
};

TEST_P(GoldenTexts, FullPrecisionEqualsTheGoldenLogitsAndHiddenStates) {
  nn::Features features;
  const tensor::HostTensor logits = open_model("full")->forward(test::golden_texts(golden_), &features);
  EXPECT_LE(metrics::max_abs_error(checkpoint::to_float(golden_.at("logits")), logits.data), kFullTolerance);
  for (std::size_t i = 0; golden_.contains(fmt::format("hidden_states.{}", i)); ++i) {
    const auto expected = checkpoint::to_float(golden_.at(fmt::format("hidden_states.{}", i)));
    const std::string block = i == 0 ? "embeddings" : fmt::format("layer.{}", i - 1);
    EXPECT_LE(metrics::max_abs_error(expected, features.at(block).data), 1e-3) << block;
  }
}

TEST_P(GoldenTexts, AccuracyCorrelatesWithTheGoldenLogits) {
  const tensor::HostTensor logits = open_model("accuracy")->forward(test::golden_texts(golden_), nullptr);
  EXPECT_GE(metrics::pcc(checkpoint::to_float(golden_.at("logits")), logits.data), 0.99);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenTexts);
INSTANTIATE_TEST_SUITE_P(Golden, GoldenTexts, testing::ValuesIn(test::golden_text_classifiers()),
                         [](const auto& test) { return test::golden_name(test.param); });

} // namespace
} // namespace tessera
