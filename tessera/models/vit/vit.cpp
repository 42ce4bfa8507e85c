#include "tessera/models/vit/vit.hpp"

#include "tessera/models/decoder_keys.hpp"
#include "tessera/nn/vision/vit_model.hpp"

namespace tessera::models {
namespace {

constexpr std::string_view kFamily = "vit";

std::unique_ptr<nn::ClassifierModel> load_vit(const ClassifierMaterial& material) {
  const checkpoint::Checkpoint& checkpoint = material.checkpoint;
  return std::make_unique<nn::VitModel>(
      material.device, configure_vit(checkpoint::ConfigReader(checkpoint.config(), checkpoint.config_path().string())),
      material.weights, material.precision, material.tensor_parallel);
}

} // namespace

nn::VitConfig configure_vit(const checkpoint::ConfigReader& config) {
  constexpr checkpoint::IntegerRange kExtent{1, kLargestExtent};
  nn::VitConfig vit;
  vit.layers = read_layers(config, vit.layers);
  read_encoder(config, kFamily, vit.encoder);
  vit.channels = config.integer_or("num_channels", vit.channels, kExtent);
  vit.image_size = config.integer_or("image_size", vit.image_size, {1, kMostPixels});
  vit.patch_size = config.integer_or("patch_size", vit.patch_size, {1, kMostPixels});
  if (vit.image_size % vit.patch_size != 0)
    config.reject("patch_size", fmt::format("a divisor of image_size, {}", vit.image_size));
  vit.encoder.qkv_bias = config.boolean_or("qkv_bias", true);
  vit.classes = class_count(config);
  return vit;
}

ClassifierFamily vit_family() {
  return {.name = kFamily,
          .architecture = "ViTForImageClassification",
          .load = load_vit,
          .shared_heads = [](const checkpoint::ConfigReader& config) { return configure_vit(config).encoder.heads; }};
}

} // namespace tessera::models
