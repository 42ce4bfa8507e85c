#include "tessera/models/classifier.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tessera/metrics/comparison.hpp"
#include "tessera/models/resnet/resnet.hpp"
#include "tessera/models/vit/vit.hpp"
#include "tessera/reference/reference.hpp"
#include "tests/models/small_classifiers.hpp"

namespace tessera::models {
namespace {

using tensor::HostTensor;
using test::SmallResNet;
using testing::HasSubstr;
using testing::ThrowsMessage;

HostTensor images(const Shape& shape) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  HostTensor result{shape, std::vector<float>(static_cast<std::size_t>(shape.volume()))};
  for (float& value : result.data) value = normal(random);
  return result;
}

std::string config_of(const SmallResNet& net) {
  std::vector<std::int64_t> sizes;
  for (const std::int64_t inner : net.inner) sizes.push_back(net.bottleneck ? inner * net.expansion : inner);
  nlohmann::json config{{"architectures", {"ResNetForImageClassification"}},
                        {"layer_type", net.bottleneck ? "bottleneck" : "basic"},
                        {"embedding_size", net.stem},
                        {"depths", net.depths},
                        {"hidden_sizes", sizes},
                        {"num_labels", net.classes}};
  config.update(nlohmann::json::parse("{" + net.config + "}"));
  return config.dump();
}

class SmallVision : public testing::Test {
 protected:
  checkpoint::Checkpoint write(const SmallResNet& net) const {
    test::small_resnet(net).write(folder_.path());
    if (net.hugging_face) folder_.write("config.json", config_of(net));
    return open_classifier_checkpoint(folder_.path().string());
  }
  std::unique_ptr<nn::ClassifierModel> load(const checkpoint::Checkpoint& checkpoint,
                                            const std::string& precision = "full") const {
    return load_classifier(runtime::MeshDevice::open({.threads = 2}), checkpoint, {.precision = precision});
  }

  test::TemporaryFolder folder_;
};

/// All that the device's model and the reference have in common: modules, features, logits.
void expect_reference(nn::Classifier& device, nn::Classifier& reference, const HostTensor& pixels) {
  ASSERT_EQ(device.modules().size(), reference.modules().size());
  nn::Features expected;
  nn::Features actual;
  reference.forward(pixels, &expected);
  device.forward(pixels, &actual);
  for (const auto& [name, value] : expected) {
    EXPECT_EQ(actual.at(name).shape, value.shape) << name;
    EXPECT_LE(metrics::relative_frobenius_error(value.data, actual.at(name).data), 1e-5) << name;
  }
  // Every module on the reference's input for it; pieces come after the piece whose output they take.
  for (std::size_t i = 0; i < reference.modules().size(); ++i) {
    const nn::ClassifierModule& module = reference.modules()[i];
    EXPECT_EQ(device.modules()[i].name, module.name);
    EXPECT_EQ(device.modules()[i].input, module.input) << module.name;
    EXPECT_EQ(device.modules()[i].is_block, module.is_block) << module.name;
    const HostTensor& input = expected.at(module.input);
    const HostTensor output = reference.run_module(module.name, input, pixels);
    EXPECT_LE(metrics::relative_frobenius_error(output.data, device.run_module(module.name, input, pixels).data), 1e-5)
        << module.name;
    expected.emplace(module.name, output);
  }
}

TEST_F(SmallVision, EveryKindOfResNetAgreesWithTheReference) {
  if (!reference::available()) GTEST_SKIP() << "built without libtorch";
  const SmallResNet nets[] = {
      {},
      {.bottleneck = false, .depths = {1, 2}},
      {.groups = 4},    // ResNeXt
      {.expansion = 2}, // Wide ResNet: inner convolutions twice as wide
      {.bottleneck = false, .depths = {1, 1}, .inner = {16, 16}},
      {.hugging_face = true},
      {.bottleneck = false, .hugging_face = true, .depths = {1, 2}},
      {.hugging_face = true, .config = R"("downsample_in_first_stage": true)"},
      {.hugging_face = true, .config = R"("downsample_in_bottleneck": true)"},
      {.hugging_face = true, .config = R"("hidden_act": "gelu")"},
      {.hugging_face = true, .config = R"("hidden_act": "silu")"},
  };
  for (std::size_t i = 0; i < std::size(nets); ++i) {
    SCOPED_TRACE(fmt::format("number {}", i));
    std::filesystem::remove(folder_.path() / "config.json");
    const auto checkpoint = write(nets[i]);
    const auto model = load(checkpoint);
    const auto reference = reference::open_classifier(checkpoint);
    expect_reference(*model, *reference, images({2, 3, 64, 48}));
  }
}

TEST_F(SmallVision, ADeepResNetTakesItsTopologyFromTheTensors) {
  struct Net {
    std::vector<std::int64_t> depths;
    bool bottleneck;
  };
  for (const Net& net :
       {Net{{2, 2, 2, 2}, false}, {{3, 4, 6, 3}, false}, {{3, 4, 23, 3}, true}, {{3, 8, 36, 3}, true}}) {
    const auto checkpoint =
        write({.bottleneck = net.bottleneck, .depths = net.depths, .inner = {4, 4, 8, 8}, .stem = 4, .classes = 3});
    const nn::ResNetConfig config = configure_torchvision_resnet(checkpoint);
    EXPECT_EQ(config.depths, net.depths);
    EXPECT_EQ(config.block == nn::ResNetBlock::BOTTLENECK, net.bottleneck);
    EXPECT_EQ(config.inner_sizes, (std::vector<std::int64_t>{4, 4, 8, 8}));
    EXPECT_EQ(config.classes, 3);
    EXPECT_EQ(load(checkpoint)->forward(images({1, 3, 32, 32}), nullptr).shape, (Shape{1, 3}));
  }
}

TEST_F(SmallVision, CountsTheWorkOfResNet50AndVitBase) {
  const auto info = [](const char* name) {
    const auto path = std::filesystem::path(TESSERA_SOURCE_DIR) / "configs" / name;
    const auto device = runtime::MeshDevice::open({.mode = runtime::RunMode::RECORD});
    return load_classifier(device, checkpoint::Checkpoint::open_config(path.string()), {})->info();
  };
  // 25.557 M parameters by torchvision's count, and the running statistics of 26,560 normalised channels.
  EXPECT_EQ(info("resnet-50.json").parameters, 25'557'032 + 2 * 26'560);
  EXPECT_NEAR(static_cast<double>(info("resnet-50.json").flops_of_item), 2 * 4.09e9, 2e7);
  EXPECT_EQ(info("vit-base.json").parameters, 86'567'656);
  EXPECT_NEAR(static_cast<double>(info("vit-base.json").flops_of_item), 2 * 17.56e9, 2e8);
}

TEST_F(SmallVision, SaysWhatIsWrongWithACheckpoint) {
  const auto expect = [&](const SmallResNet& net, const std::string& text) {
    const auto checkpoint = write(net);
    EXPECT_THAT([&] { load(checkpoint); }, ThrowsMessage<base::Error>(HasSubstr(text)));
  };
  expect({.hugging_face = true, .config = R"("hidden_act": "mish")"}, "hidden_act relu, gelu and silu");
  expect({.hugging_face = true, .config = R"("layer_type": "dense")"}, "layer_type must be basic or bottleneck");
  expect({.hugging_face = true, .config = R"("depths": [1])"}, "depths must be as many numbers as hidden_sizes");
  expect({.hugging_face = true, .config = R"("embedding_size": 24)"},
         "resnet.embedder.embedder.normalization.weight must have the shape [24]");
  std::filesystem::remove(folder_.path() / "config.json");
  auto broken = test::small_resnet({});
  broken.erase("layer2.0.bn1.running_var");
  broken.write(folder_.path());
  EXPECT_THAT([&] { load(open_classifier_checkpoint(folder_.path().string())); },
              ThrowsMessage<base::IoError>(HasSubstr("layer2.0.bn1.running_var")));
  broken.erase("fc.weight");
  broken.write(folder_.path());
  EXPECT_THAT([&] { load(open_classifier_checkpoint(folder_.path().string())); },
              ThrowsMessage<base::IoError>(HasSubstr("config.json is required")));
  folder_.write("config.json", R"({"architectures": ["LlamaForCausalLM"]})");
  EXPECT_THAT([&] { load(open_classifier_checkpoint(folder_.path().string())); },
              ThrowsMessage<base::Unsupported>(HasSubstr("ResNetForImageClassification, ViTForImageClassification")));
}

TEST_F(SmallVision, RefusesPixelsThatDoNotFit) {
  const auto model = load(write({}));
  EXPECT_THAT(
      [&] {
        model->forward(images({1, 4, 32, 32}), nullptr);
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("pixel_values must be [N, 3, H, W]")));
  EXPECT_THAT(
      [&] {
        model->run_module("layer9.0", images({1, 8, 8, 16}), {});
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("a module of the model is required")));
}

TEST_F(SmallVision, ReadsResNetConfigurations) {
  const auto configure = [](const std::string& keys) {
    const auto json = nlohmann::json::parse("{" + keys + "}");
    return configure_resnet(checkpoint::ConfigReader(json));
  };
  // The defaults are those of transformers' ResNetConfig: a ResNet-50.
  const nn::ResNetConfig plain = configure("");
  EXPECT_EQ(plain.depths, (std::vector<std::int64_t>{3, 4, 6, 3}));
  EXPECT_EQ(plain.inner_sizes, (std::vector<std::int64_t>{64, 128, 256, 512}));
  EXPECT_EQ(plain.classes, 2);
  EXPECT_EQ(plain.image_size, 224);
  EXPECT_EQ(configure(R"("image_size": 64)").image_size, 64);
}

TEST_F(SmallVision, ReadsVitConfigurations) {
  const auto configure = [](const std::string& keys) {
    const auto json = nlohmann::json::parse("{" + keys + "}");
    return configure_vit(checkpoint::ConfigReader(json));
  };
  EXPECT_EQ(configure("").tokens(), 197);
  EXPECT_EQ(configure(R"("image_size": 384, "patch_size": 32)").tokens(), 145);
  EXPECT_EQ(configure(R"("id2label": {"0": "cat", "1": "dog", "2": "cow"})").classes, 3);
  EXPECT_THAT([&] { configure(R"("patch_size": 15)"); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("patch_size must be a divisor of image_size, 224")));
  EXPECT_THAT([&] { configure(R"("num_attention_heads": 7)"); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("a divisor of hidden_size, 768")));
  EXPECT_THAT([&] { configure(R"("hidden_act": "mish")"); },
              ThrowsMessage<base::Unsupported>(HasSubstr("received \"mish\"")));
}

TEST_F(SmallVision, LabelsAreThoseOfTheConfiguration) {
  folder_.write("config.json", R"({"id2label": {"0": "cat", "1": "dog"}})");
  const auto checkpoint = checkpoint::Checkpoint::open_config(folder_.path().string());
  EXPECT_THAT(class_labels(checkpoint, 2), testing::ElementsAre("cat", "dog"));
  EXPECT_THAT([&] { class_labels(checkpoint, 3); }, ThrowsMessage<base::InvalidArgument>(HasSubstr("id2label.2")));
}

} // namespace
} // namespace tessera::models
