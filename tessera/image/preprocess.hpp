#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "tessera/checkpoint/config_reader.hpp"
#include "tessera/image/resize.hpp"

namespace tessera::image {

/// How a model wants its pictures.
struct Preprocessing {
  /// A picture's size before the crop: both sides as given, or the shorter one, the other in proportion.
  struct Size {
    std::int64_t height = 0;
    std::int64_t width = 0;
    std::int64_t shortest_edge = 0; ///< 0: height and width hold
  };
  std::optional<Size> resize;
  Resample resample = Resample::BILINEAR;
  std::int64_t crop_height = 0; ///< 0: no crop
  std::int64_t crop_width = 0;
  double rescale_factor = 1.0 / 255;                ///< bytes are multiplied by it
  std::array<float, 3> mean{0.0F, 0.0F, 0.0F};      ///< taken off afterwards,
  std::array<float, 3> deviation{1.0F, 1.0F, 1.0F}; ///< and this divided by
};

/// A preprocessor_config.json of Hugging Face: ViTImageProcessor, ConvNextImageProcessor (`crop_pct`), and others of
/// these keys (`do_center_crop`, `crop_size`). Throws InvalidArgument for impossible values, Unsupported for filters
/// that are not built.
Preprocessing read_preprocessing(const checkpoint::ConfigReader& config);
/// What torchvision's classifiers are trained for: the shorter side 256, the middle 224, the statistics of ImageNet.
Preprocessing torchvision_preprocessing();

/// [3, height, width] as a model reads it.
struct Pixels {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::vector<float> values;
};
Pixels preprocess(const Image& image, const Preprocessing& preprocessing);

} // namespace tessera::image
