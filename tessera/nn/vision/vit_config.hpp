#pragma once

#include <cstdint>

#include "tessera/nn/classifier/encoder_layer.hpp"

namespace tessera::nn {

/// A vision transformer (Dosovitskiy et al., "An Image is Worth 16x16 Words"): patches as tokens behind a class token,
/// learned positions, layers with a norm before attention and MLP, a classifier on the class token.
struct VitConfig {
  std::int64_t layers = 12;
  EncoderConfig encoder;
  std::int64_t channels = 3;
  std::int64_t image_size = 224;
  std::int64_t patch_size = 16;
  std::int64_t classes = 1000;

  std::int64_t patches() const { return (image_size / patch_size) * (image_size / patch_size); }
  std::int64_t tokens() const { return patches() + 1; }
};

} // namespace tessera::nn
