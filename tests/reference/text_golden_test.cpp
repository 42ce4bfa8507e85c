// The reference's classifiers of texts against outputs of Hugging Face's implementations.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/metrics/comparison.hpp"
#include "tessera/reference/reference.hpp"
#include "tests/models/golden_models.hpp"
#include "tests/models/text_golden.hpp"

namespace tessera {
namespace {

// The order of summation alone.
constexpr double kTolerance = 1e-4;

class ReferenceTextGolden : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(ReferenceTextGolden, EqualsTheGoldenLogits) {
  const auto golden = checkpoint::SafeTensors::open(GetParam() / "golden.safetensors");
  const auto model = reference::open_classifier(checkpoint::Checkpoint::open(GetParam().string()));
  const tensor::HostTensor logits = model->forward(test::golden_texts(golden), nullptr);
  EXPECT_LE(metrics::max_abs_error(checkpoint::to_float(golden.at("logits")), logits.data), kTolerance);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ReferenceTextGolden);
INSTANTIATE_TEST_SUITE_P(Golden, ReferenceTextGolden, testing::ValuesIn(test::golden_text_classifiers()),
                         [](const auto& test) { return test::golden_name(test.param); });

} // namespace
} // namespace tessera
