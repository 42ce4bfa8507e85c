#pragma once

#include "tessera/models/classifier.hpp"
#include "tessera/nn/vision/resnet_config.hpp"

namespace tessera::models {

/// ResNet under Hugging Face's names, by config.json, and under torchvision's, by the tensors' names and shapes: their
/// files come without a configuration.
ClassifierFamily resnet_family();

/// What a config.json of ResNetForImageClassification says. Throws InvalidArgument for impossible values, Unsupported
/// for activations that are not built.
nn::ResNetConfig configure_resnet(const checkpoint::ConfigReader& config);
/// What the tensors of a torchvision checkpoint say: ResNet, ResNeXt and Wide ResNet. Throws IoError when they
/// contradict each other.
nn::ResNetConfig configure_torchvision_resnet(const checkpoint::Checkpoint& checkpoint);

} // namespace tessera::models
