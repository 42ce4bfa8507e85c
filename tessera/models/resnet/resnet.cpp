#include "tessera/models/resnet/resnet.hpp"

#include "tessera/base/error.hpp"
#include "tessera/models/decoder_keys.hpp"
#include "tessera/nn/vision/resnet_model.hpp"

namespace tessera::models {
namespace {

using checkpoint::Checkpoint;

constexpr std::string_view kArchitecture = "ResNetForImageClassification";
/// What a bottleneck's inner convolutions are narrower by.
constexpr std::int64_t kReduction = 4;

nn::ResNetNames hugging_face_names() {
  const auto names = [](const std::string& prefix) {
    return nn::ConvNames{prefix + ".convolution", prefix + ".normalization"};
  };
  const auto block_prefix = [](std::int64_t stage, std::int64_t block) {
    return fmt::format("resnet.encoder.stages.{}.layers.{}.", stage, block);
  };
  return {
      .stem = names("resnet.embedder.embedder"),
      .in_block =
          [names, block_prefix](std::int64_t stage, std::int64_t block, std::int64_t convolution) {
            return names(fmt::format("{}layer.{}", block_prefix(stage, block), convolution));
          },
      .shortcut = [names, block_prefix](std::int64_t stage,
                                        std::int64_t block) { return names(block_prefix(stage, block) + "shortcut"); },
      .classifier = "classifier.1"};
}

nn::ResNetNames torchvision_names() {
  const auto block_prefix = [](std::int64_t stage, std::int64_t block) {
    return fmt::format("layer{}.{}.", stage + 1, block);
  };
  return {.stem = {"conv1", "bn1"},
          .in_block =
              [block_prefix](std::int64_t stage, std::int64_t block, std::int64_t convolution) {
                const std::string prefix = block_prefix(stage, block);
                return nn::ConvNames{fmt::format("{}conv{}", prefix, convolution + 1),
                                     fmt::format("{}bn{}", prefix, convolution + 1)};
              },
          .shortcut =
              [block_prefix](std::int64_t stage, std::int64_t block) {
                const std::string prefix = block_prefix(stage, block) + "downsample.";
                return nn::ConvNames{prefix + "0", prefix + "1"};
              },
          .classifier = "fc"};
}

ops::Activation read_activation(const checkpoint::ConfigReader& config) {
  const std::string name = config.string_or("hidden_act", "relu");
  if (name == "relu") return ops::Activation::RELU;
  if (name == "gelu") return ops::Activation::GELU;
  if (name == "silu" || name == "swish") return ops::Activation::SILU;
  throw base::Unsupported(
      fmt::format("[config] hidden_act relu, gelu and silu of a resnet are built; received \"{}\"", name));
}

/// A tensor's shape, which must be that of convolution filters [O, C, kh, kw].
std::vector<std::int64_t> filters(const Checkpoint& checkpoint, const std::string& name) {
  const checkpoint::TensorView& view = checkpoint.tensor(name);
  base::require<base::IoError>(view.shape.size() == 4 && view.shape[0] > 0 && view.shape[1] > 0,
                               "[resnet] {} must be filters [O, C, kh, kw]; received {}; is it a ResNet's?", name,
                               checkpoint::shape_to_string(view.shape));
  return view.shape;
}

bool is_torchvision(const Checkpoint& checkpoint) {
  return checkpoint.contains("conv1.weight") && checkpoint.contains("layer1.0.conv1.weight") &&
         checkpoint.contains("fc.weight");
}

bool is_hugging_face(const Checkpoint& checkpoint) {
  const auto architectures =
      checkpoint::ConfigReader(checkpoint.config(), checkpoint.config_path().string()).strings("architectures");
  return !architectures.empty() && architectures.front() == kArchitecture;
}

std::unique_ptr<nn::ClassifierModel> load_resnet(const ClassifierMaterial& material) {
  const Checkpoint& checkpoint = material.checkpoint;
  const bool hugging_face = is_hugging_face(checkpoint);
  const nn::ResNetConfig config =
      hugging_face ? configure_resnet(checkpoint::ConfigReader(checkpoint.config(), checkpoint.config_path().string()))
                   : configure_torchvision_resnet(checkpoint);
  return std::make_unique<nn::ResNetModel>(material.device, config,
                                           hugging_face ? hugging_face_names() : torchvision_names(), material.weights,
                                           material.precision);
}

} // namespace

nn::ResNetConfig configure_resnet(const checkpoint::ConfigReader& config) {
  constexpr checkpoint::IntegerRange kExtent{1, kLargestExtent};
  nn::ResNetConfig resnet;
  const std::string block = config.string_or("layer_type", "bottleneck");
  if (block != "basic" && block != "bottleneck") config.reject("layer_type", "basic or bottleneck");
  resnet.block = block == "basic" ? nn::ResNetBlock::BASIC : nn::ResNetBlock::BOTTLENECK;
  resnet.channels = config.integer_or("num_channels", 3, kExtent);
  resnet.stem_channels = config.integer_or("embedding_size", 64, kExtent);
  resnet.image_size = config.integer_or("image_size", resnet.image_size, {1, kMostPixels});
  resnet.hidden_sizes = config.integers("hidden_sizes", kExtent);
  if (resnet.hidden_sizes.empty()) resnet.hidden_sizes = {256, 512, 1024, 2048};
  resnet.depths = config.integers("depths", {1, kMostLayers});
  if (resnet.depths.empty()) resnet.depths = {3, 4, 6, 3};
  if (resnet.depths.size() != resnet.hidden_sizes.size())
    config.reject("depths", fmt::format("as many numbers as hidden_sizes has, {}", resnet.hidden_sizes.size()));
  const bool bottleneck = resnet.block == nn::ResNetBlock::BOTTLENECK;
  for (const std::int64_t size : resnet.hidden_sizes) {
    if (bottleneck && size % kReduction != 0) config.reject("hidden_sizes", "multiples of 4 for bottlenecks");
    resnet.inner_sizes.push_back(bottleneck ? size / kReduction : size);
  }
  resnet.activation = read_activation(config);
  resnet.downsample_in_first_stage = config.boolean_or("downsample_in_first_stage", false);
  resnet.downsample_in_bottleneck = config.boolean_or("downsample_in_bottleneck", false);
  resnet.classes = class_count(config);
  return resnet;
}

nn::ResNetConfig configure_torchvision_resnet(const Checkpoint& checkpoint) {
  nn::ResNetConfig resnet;
  const std::vector<std::int64_t> stem = filters(checkpoint, "conv1.weight");
  resnet.stem_channels = stem[0];
  resnet.channels = stem[1];
  resnet.block = checkpoint.contains("layer1.0.conv3.weight") ? nn::ResNetBlock::BOTTLENECK : nn::ResNetBlock::BASIC;
  const char* last = resnet.block == nn::ResNetBlock::BOTTLENECK ? "conv3" : "conv2";
  for (std::int64_t stage = 1; checkpoint.contains(fmt::format("layer{}.0.conv1.weight", stage)); ++stage) {
    std::int64_t blocks = 0;
    while (checkpoint.contains(fmt::format("layer{}.{}.conv1.weight", stage, blocks))) ++blocks;
    resnet.depths.push_back(blocks);
    resnet.hidden_sizes.push_back(filters(checkpoint, fmt::format("layer{}.0.{}.weight", stage, last))[0]);
    const std::vector<std::int64_t> inner = filters(checkpoint, fmt::format("layer{}.0.conv2.weight", stage));
    resnet.inner_sizes.push_back(resnet.block == nn::ResNetBlock::BASIC
                                     ? filters(checkpoint, fmt::format("layer{}.0.conv1.weight", stage))[0]
                                     : inner[0]);
    if (resnet.block == nn::ResNetBlock::BOTTLENECK) resnet.groups = std::max<std::int64_t>(1, inner[0] / inner[1]);
  }
  const std::vector<std::int64_t>& classifier = checkpoint.tensor("fc.weight").shape;
  base::require<base::IoError>(classifier.size() == 2,
                               "[resnet] fc.weight must be a matrix [classes, channels]; received {}",
                               checkpoint::shape_to_string(classifier));
  resnet.classes = classifier[0];
  return resnet;
}

ClassifierFamily resnet_family() {
  return {.name = "resnet", .architecture = kArchitecture, .recognises = is_torchvision, .load = load_resnet};
}

} // namespace tessera::models
