#pragma once

#include "tessera/models/classifier.hpp"
#include "tessera/nn/vision/vit_config.hpp"

namespace tessera::models {

/// Vision transformers: Hugging Face's ViTForImageClassification.
ClassifierFamily vit_family();

/// What a config.json says. Throws InvalidArgument for impossible values, Unsupported for activations that are not
/// built.
nn::VitConfig configure_vit(const checkpoint::ConfigReader& config);

} // namespace tessera::models
