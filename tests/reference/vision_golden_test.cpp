// The reference's image classifiers against outputs of torchvision's and Hugging Face's implementations.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/metrics/comparison.hpp"
#include "tessera/reference/reference.hpp"
#include "tests/models/vision_golden.hpp"

namespace tessera {
namespace {

// The order of summation alone.
constexpr double kTolerance = 1e-4;

class ReferenceVisionGolden : public testing::TestWithParam<std::filesystem::path> {
 protected:
  checkpoint::Checkpoint open_checkpoint() const { return test::open_golden_vision(GetParam(), folder_.path()); }

  test::TemporaryFolder folder_;
};

TEST_P(ReferenceVisionGolden, EqualsTheGoldenLogits) {
  const auto model = reference::open_classifier(open_checkpoint());
  const tensor::HostTensor logits = model->forward(test::golden_tensor(GetParam(), "pixel_values"), nullptr);
  const tensor::HostTensor expected = test::golden_tensor(GetParam(), "logits");
  EXPECT_EQ(logits.shape, expected.shape);
  EXPECT_LE(metrics::max_abs_error(expected.data, logits.data), kTolerance);
}

TEST_P(ReferenceVisionGolden, ABlockOnItsInputGivesWhatItGaveInTheModel) {
  const auto model = reference::open_classifier(open_checkpoint());
  nn::Features features;
  model->forward(test::golden_tensor(GetParam(), "pixel_values"), &features);
  for (const nn::ClassifierModule& module : model->modules()) {
    if (!module.is_block) continue;
    EXPECT_EQ(model->run_module(module.name, features.at(module.input), {}).data, features.at(module.name).data)
        << module.name;
  }
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ReferenceVisionGolden);
INSTANTIATE_TEST_SUITE_P(Golden, ReferenceVisionGolden, testing::ValuesIn(test::golden_vision_models()),
                         [](const auto& test) { return test::golden_name(test.param); });

} // namespace
} // namespace tessera
