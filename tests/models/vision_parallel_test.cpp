// Vision transformers whose layers several chips share.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tessera/base/error.hpp"
#include "tessera/metrics/comparison.hpp"
#include "tessera/models/classifier.hpp"
#include "tests/base/temporary_folder.hpp"

namespace tessera::models {
namespace {

using tensor::HostTensor;
using testing::HasSubstr;
using testing::ThrowsMessage;

/// Widths that no chip's share of fills whole tiles.
constexpr const char* kVit = R"({"architectures": ["ViTForImageClassification"], "hidden_size": 48,
    "num_attention_heads": 4, "intermediate_size": 72, "num_hidden_layers": 2, "image_size": 32, "patch_size": 8,
    "num_labels": 10)";

HostTensor random_images(std::int64_t count) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  HostTensor result{{count, 3, 32, 32}, std::vector<float>(static_cast<std::size_t>(count * 3 * 32 * 32))};
  for (float& value : result.data) value = normal(random);
  return result;
}

class ParallelVit : public testing::Test {
 protected:
  checkpoint::Checkpoint write(const std::string& more = "") const {
    folder_.write("config.json", kVit + more + "}");
    return checkpoint::Checkpoint::open_config((folder_.path() / "config.json").string());
  }
  static std::unique_ptr<nn::ClassifierModel> load(const checkpoint::Checkpoint& checkpoint, std::int64_t copies,
                                                   std::int64_t chips, const std::string& precision = "full") {
    BoardSpec mesh = board("t3000");
    mesh.mesh_rows = copies;
    mesh.mesh_columns = chips;
    return load_classifier(runtime::MeshDevice::open({.board = mesh, .threads = 2}), checkpoint,
                           {.precision = precision, .random_seed = 5, .tensor_parallel = chips});
  }

  test::TemporaryFolder folder_;
};

TEST_F(ParallelVit, SharedLayersGiveWhatOneChipGives) {
  for (const char* more : {"", R"(, "qkv_bias": false)", R"(, "hidden_act": "relu")"}) {
    const auto checkpoint = write(more);
    const HostTensor pixels = random_images(3);
    nn::Features expected;
    load(checkpoint, 1, 1)->forward(pixels, &expected);
    for (const auto& [copies, chips] : {std::pair{1, 2}, {1, 4}, {2, 2}, {2, 4}}) {
      SCOPED_TRACE(fmt::format("{} dp {} tp {}", more, copies, chips));
      const auto model = load(checkpoint, copies, chips);
      EXPECT_EQ(model->copies(), copies);
      nn::Features actual;
      model->forward(pixels, &actual);
      for (const auto& [name, value] : expected) {
        EXPECT_EQ(actual.at(name).shape, value.shape) << name;
        EXPECT_LE(metrics::relative_frobenius_error(value.data, actual.at(name).data), 1e-5) << name;
      }
      const HostTensor alone = model->run_module("layer.1", expected.at("layer.0"), pixels);
      EXPECT_LE(metrics::relative_frobenius_error(expected.at("layer.1").data, alone.data), 1e-5);
    }
  }
}

TEST_F(ParallelVit, CopiesOfSharedLayersGiveTheSameBits) {
  const auto checkpoint = write();
  const HostTensor pixels = random_images(5); // over two copies: the last image of one is zeros
  EXPECT_EQ(load(checkpoint, 1, 2, "bf16")->forward(pixels, nullptr).data,
            load(checkpoint, 2, 2, "bf16")->forward(pixels, nullptr).data);
}

TEST_F(ParallelVit, EachChipHoldsItsPartOfTheLayers) {
  const auto checkpoint = write();
  const auto shapes_of = [&](std::int64_t chips) {
    std::vector<Shape> shapes;
    const auto model = load(checkpoint, 1, chips);
    for (const nn::Tensor& weight : model->weights()) shapes.push_back(weight.shape());
    return shapes;
  };
  using testing::Contains;
  EXPECT_THAT(shapes_of(1), testing::AllOf(Contains(Shape{1, 1, 48, 144}), Contains(Shape{1, 1, 48, 48}),
                                           Contains(Shape{1, 1, 48, 72}), Contains(Shape{1, 1, 72, 48})));
  EXPECT_THAT(shapes_of(4), testing::AllOf(Contains(Shape{1, 1, 48, 36}), Contains(Shape{1, 1, 12, 48}),
                                           Contains(Shape{1, 1, 48, 32}), Contains(Shape{1, 1, 32, 48})));
}

TEST_F(ParallelVit, RefusesChipsThatCannotShareTheLayers) {
  const auto checkpoint = write();
  EXPECT_THAT([&] { load(checkpoint, 1, 8); },
              ThrowsMessage<base::InvalidArgument>(
                  HasSubstr("share the 4 attention heads must divide them; received 8; 1, 2, 4 are possible")));
  EXPECT_THAT([&] { check_tensor_parallel(checkpoint, 3); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("received 3")));
  const auto device = runtime::MeshDevice::open({.board = board("t3000")});
  EXPECT_THAT([&] { load_classifier(device, checkpoint, {.random_seed = 5, .tensor_parallel = 2}); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("must be a row of the mesh, 4 chips; received 2")));
  folder_.write("config.json", R"({"architectures": ["ResNetForImageClassification"]})");
  const auto resnet = checkpoint::Checkpoint::open_config((folder_.path() / "config.json").string());
  EXPECT_THAT([&] { load(resnet, 1, 2); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("chips cannot share the layers of a resnet")));
}

} // namespace
} // namespace tessera::models
