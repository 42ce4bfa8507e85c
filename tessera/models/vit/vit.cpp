#include "tessera/models/vit/vit.hpp"

#include "tessera/base/error.hpp"
#include "tessera/models/decoder_keys.hpp"
#include "tessera/nn/vision/vit_model.hpp"

namespace tessera::models {
namespace {

ops::Activation read_activation(const checkpoint::ConfigReader& config) {
  const std::string name = config.string_or("hidden_act", "gelu");
  if (name == "gelu") return ops::Activation::GELU;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return ops::Activation::GELU_TANH;
  if (name == "relu") return ops::Activation::RELU;
  throw base::Unsupported(fmt::format(
      "[config] hidden_act gelu, gelu_new, gelu_pytorch_tanh and relu of a vit are built; received \"{}\"", name));
}

std::unique_ptr<nn::VisionModel> load_vit(const VisionMaterial& material) {
  const checkpoint::Checkpoint& checkpoint = material.checkpoint;
  return std::make_unique<nn::VitModel>(
      material.device, configure_vit(checkpoint::ConfigReader(checkpoint.config(), checkpoint.config_path().string())),
      material.weights, material.precision, material.tensor_parallel);
}

} // namespace

nn::VitConfig configure_vit(const checkpoint::ConfigReader& config) {
  constexpr checkpoint::IntegerRange kExtent{1, kLargestExtent};
  nn::VitConfig vit;
  vit.layers = config.integer_or("num_hidden_layers", vit.layers, {1, kMostLayers});
  vit.hidden_size = config.integer_or("hidden_size", vit.hidden_size, kExtent);
  vit.heads = config.integer_or("num_attention_heads", vit.heads, {1, kMostHeads});
  if (vit.hidden_size % vit.heads != 0)
    config.reject("num_attention_heads", fmt::format("a divisor of hidden_size, {}", vit.hidden_size));
  vit.mlp_hidden = config.integer_or("intermediate_size", vit.mlp_hidden, kExtent);
  vit.channels = config.integer_or("num_channels", vit.channels, kExtent);
  vit.image_size = config.integer_or("image_size", vit.image_size, {1, kMostPixels});
  vit.patch_size = config.integer_or("patch_size", vit.patch_size, {1, kMostPixels});
  if (vit.image_size % vit.patch_size != 0)
    config.reject("patch_size", fmt::format("a divisor of image_size, {}", vit.image_size));
  vit.qkv_bias = config.boolean_or("qkv_bias", true);
  vit.norm_eps = static_cast<float>(config.number_or("layer_norm_eps", 1e-12, {0.0, 1.0}));
  vit.activation = read_activation(config);
  vit.classes = class_count(config);
  return vit;
}

VisionFamily vit_family() {
  return {.name = "vit",
          .architecture = "ViTForImageClassification",
          .load = load_vit,
          .shared_heads = [](const checkpoint::ConfigReader& config) { return configure_vit(config).heads; }};
}

} // namespace tessera::models
