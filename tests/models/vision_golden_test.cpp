// The device's image classifiers against outputs of torchvision's and Hugging Face's implementations.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tessera/metrics/comparison.hpp"
#include "tessera/models/classifier.hpp"
#include "tests/models/vision_golden.hpp"

namespace tessera {
namespace {

using tensor::HostTensor;

constexpr double kFullTolerance = 1e-3;

class GoldenVision : public testing::TestWithParam<std::filesystem::path> {
 protected:
  std::unique_ptr<nn::ClassifierModel> open_model(const std::string& precision, const char* board_name = "n150",
                                                  runtime::Numerics numerics = runtime::Numerics::NATIVE) {
    return models::load_classifier(runtime::MeshDevice::open({.board = board(board_name), .numerics = numerics}),
                                   test::open_golden_vision(GetParam(), folder_.path()), {.precision = precision});
  }
  HostTensor golden(const std::string& name) const { return test::golden_tensor(GetParam(), name); }

  test::TemporaryFolder folder_;
};

TEST_P(GoldenVision, FullPrecisionEqualsTheGoldenLogits) {
  const auto model = open_model("full");
  const HostTensor logits = model->forward(golden("pixel_values"), nullptr);
  EXPECT_EQ(logits.shape, golden("logits").shape);
  EXPECT_LE(metrics::max_abs_error(golden("logits").data, logits.data), kFullTolerance);
}

TEST_P(GoldenVision, FullPrecisionEqualsTheGoldenLogitsOnLines) {
  const auto checkpoint = test::open_golden_vision(GetParam(), folder_.path());
  const auto load = [&](std::int64_t chips) {
    BoardSpec line = board("t3000");
    line.mesh_rows = 1;
    line.mesh_columns = chips;
    return models::load_classifier(runtime::MeshDevice::open({.board = line}), checkpoint,
                                   {.precision = "full", .tensor_parallel = chips});
  };
  for (const std::int64_t chips : {2, 4}) {
    if (models::classifier_family_of(checkpoint)->shared_heads == nullptr) {
      EXPECT_THROW(load(chips), base::InvalidArgument);
      continue;
    }
    const HostTensor logits = load(chips)->forward(golden("pixel_values"), nullptr);
    EXPECT_EQ(logits.shape, golden("logits").shape);
    EXPECT_LE(metrics::max_abs_error(golden("logits").data, logits.data), kFullTolerance) << chips;
  }
}

/// [N, C, H, W] of [N, H, W, C].
HostTensor planes_of(const HostTensor& pixels) {
  const std::int64_t plane = pixels.shape[1] * pixels.shape[2];
  const std::int64_t channels = pixels.shape[3];
  HostTensor result{{pixels.shape[0], channels, pixels.shape[1], pixels.shape[2]}, pixels.data};
  for (std::int64_t i = 0; i < std::ssize(pixels.data); ++i) {
    const std::int64_t image = i / (plane * channels);
    const std::int64_t to = (image * channels + i % channels) * plane + i / channels % plane;
    result.data[static_cast<std::size_t>(to)] = pixels.data[static_cast<std::size_t>(i)];
  }
  return result;
}

/// The block that gives a golden tensor; empty for what is not a block's output. "layer1" is torchvision's name of a
/// whole stage, hidden_states.1 transformers' of the first stage or of what the first layer gives.
std::string block_of(std::string name, const nn::Features& features) {
  const bool sequence = features.contains("embeddings");
  if (name.ends_with(".image0")) name.resize(name.size() - std::string(".image0").size());
  if (name == "vit.layernorm") return "layernorm";
  if (name.starts_with("hidden_states.")) {
    const std::int64_t number = std::stoll(name.substr(name.find('.') + 1));
    if (sequence) return number == 0 ? "embeddings" : fmt::format("layer.{}", number - 1);
    name = fmt::format("layer{}", number);
  }
  if (features.contains(name)) return name;
  std::string last;
  for (const auto& [block, feature] : features) {
    if (!sequence && block.starts_with(name + ".")) last = block;
  }
  return last;
}

TEST_P(GoldenVision, FullPrecisionEqualsTheGoldenFeatures) {
  const auto file = checkpoint::SafeTensors::open(GetParam() / "golden.safetensors");
  nn::Features features;
  open_model("full")->forward(golden("pixel_values"), &features);
  std::size_t compared = 0;
  for (const auto& view : file.tensors()) {
    const std::string block = block_of(view.name, features);
    if (block.empty() || view.name == "pixel_values") continue;
    const HostTensor& ours = features.at(block);
    const std::vector<float> expected = checkpoint::to_float(view);
    HostTensor actual = ours.shape.rank() == 4 ? planes_of(ours) : ours;
    actual.data.resize(expected.size()); // some goldens are of the first image alone
    EXPECT_LE(metrics::max_abs_error(expected, actual.data), kFullTolerance) << view.name;
    ++compared;
  }
  EXPECT_GE(compared, 1U);
}

TEST_P(GoldenVision, AccuracyCorrelatesWithTheGoldenLogits) {
  const auto model = open_model("accuracy");
  const HostTensor logits = model->forward(golden("pixel_values"), nullptr);
  const double least = model->info().family == "vit" ? 0.995 : 0.99;
  EXPECT_GE(metrics::pcc(golden("logits").data, logits.data), least);
}

TEST_P(GoldenVision, ExactNumericsCorrelateWithTheGoldenLogits) {
  const auto model = open_model("accuracy", "n150", runtime::Numerics::EXACT);
  EXPECT_GE(metrics::pcc(golden("logits").data, model->forward(golden("pixel_values"), nullptr).data), 0.99);
}

TEST_P(GoldenVision, AMeshGivesTheBitsOfOneChip) {
  // Seven images over eight chips: the last one's are zeros.
  const HostTensor two = golden("pixel_values");
  HostTensor images{two.shape.with(0, 7), {}};
  for (int i = 0; i < 4; ++i) images.data.insert(images.data.end(), two.data.begin(), two.data.end());
  images.data.resize(static_cast<std::size_t>(images.shape.volume()));
  const HostTensor expected = open_model("bf16")->forward(two, nullptr);
  const HostTensor actual = open_model("bf16", "t3000")->forward(images, nullptr);
  ASSERT_EQ(actual.shape, expected.shape.with(0, 7));
  for (std::size_t i = 0; i < actual.data.size(); ++i)
    ASSERT_EQ(actual.data[i], expected.data[i % expected.data.size()]) << i;
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenVision);
INSTANTIATE_TEST_SUITE_P(Golden, GoldenVision, testing::ValuesIn(test::golden_vision_models()),
                         [](const auto& test) { return test::golden_name(test.param); });

} // namespace
} // namespace tessera
