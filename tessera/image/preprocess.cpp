#include "tessera/image/preprocess.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"

namespace tessera::image {
namespace {

using checkpoint::ConfigReader;

constexpr checkpoint::IntegerRange kSide{1, 16384};

/// `size` and `crop_size`: a number, {"height", "width"} or {"shortest_edge"}; absent: none.
std::optional<Preprocessing::Size> read_size(const ConfigReader& config, const std::string& key, bool number_is_edge) {
  if (!config.has(key)) return {};
  try {
    const std::int64_t side = config.integer(key, kSide);
    if (number_is_edge) return Preprocessing::Size{.shortest_edge = side};
    return Preprocessing::Size{.height = side, .width = side};
  } catch (const base::InvalidArgument&) {
    // Not a number: an object.
  }
  const ConfigReader size = config.object(key).value();
  if (size.has("shortest_edge")) return Preprocessing::Size{.shortest_edge = size.integer("shortest_edge", kSide)};
  return Preprocessing::Size{.height = size.integer("height", kSide), .width = size.integer("width", kSide)};
}

std::array<float, 3> read_channels(const ConfigReader& config, const std::string& key, float fallback) {
  if (!config.has(key)) return {fallback, fallback, fallback};
  const std::vector<double> values = config.numbers(key, {-1e6, 1e6});
  if (values.size() != 3) config.reject(key, "three numbers");
  return {static_cast<float>(values[0]), static_cast<float>(values[1]), static_cast<float>(values[2])};
}

Resample read_resample(const ConfigReader& config) {
  const std::int64_t number = config.integer_or("resample", 2, {0, 5});
  base::require<base::Unsupported>(number <= 3,
                                   "[config] resample 0 (nearest), 1 (lanczos), 2 (bilinear) and 3 (bicubic) are "
                                   "built; received {}",
                                   number);
  return static_cast<Resample>(number);
}

} // namespace

Preprocessing read_preprocessing(const ConfigReader& config) {
  Preprocessing result;
  if (config.boolean_or("do_resize", true)) {
    const std::string type = config.string_or("image_processor_type", "");
    result.resize = read_size(config, "size", type.starts_with("ConvNext"));
    result.resample = read_resample(config);
    if (type.starts_with("ConvNext") && result.resize) {
      // Below 384 a larger picture is cropped, from there on it is pressed into the square.
      const std::int64_t side = result.resize->shortest_edge;
      if (side == 0) config.reject("size", "a shortest_edge");
      const double share = config.number_or("crop_pct", 224.0 / 256, {0.01, 1.0});
      if (side < 384) {
        result.resize->shortest_edge = static_cast<std::int64_t>(static_cast<double>(side) / share);
        result.crop_height = result.crop_width = side;
      } else {
        result.resize = Preprocessing::Size{.height = side, .width = side};
      }
    }
  }
  if (config.boolean_or("do_center_crop", false)) {
    const auto crop = read_size(config, "crop_size", false);
    if (!crop || crop->shortest_edge != 0) config.reject("crop_size", "a number, or a height and a width");
    result.crop_height = crop->height;
    result.crop_width = crop->width;
  }
  result.rescale_factor =
      config.boolean_or("do_rescale", true) ? config.number_or("rescale_factor", 1.0 / 255, {0.0, 1e6}) : 1.0;
  if (config.boolean_or("do_normalize", true)) {
    result.mean = read_channels(config, "image_mean", 0.5F);
    result.deviation = read_channels(config, "image_std", 0.5F);
    for (const float value : result.deviation) {
      if (!(value > 0.0F)) config.reject("image_std", "positive numbers");
    }
  }
  return result;
}

Preprocessing torchvision_preprocessing() {
  return {.resize = Preprocessing::Size{.shortest_edge = 256},
          .crop_height = 224,
          .crop_width = 224,
          .mean = {0.485F, 0.456F, 0.406F},
          .deviation = {0.229F, 0.224F, 0.225F}};
}

Pixels preprocess(const Image& image, const Preprocessing& preprocessing) {
  Image picture = image;
  if (preprocessing.resize) {
    Preprocessing::Size size = *preprocessing.resize;
    if (size.shortest_edge > 0) {
      const std::int64_t shorter = std::min(image.height, image.width);
      size.height = size.shortest_edge * image.height / shorter;
      size.width = size.shortest_edge * image.width / shorter;
    }
    picture = resize(image, size.height, size.width, preprocessing.resample);
  }
  if (preprocessing.crop_height > 0)
    picture = center_crop(picture, preprocessing.crop_height, preprocessing.crop_width);
  Pixels result{picture.height, picture.width, {}};
  result.values.resize(picture.pixels.size());
  const std::size_t plane = picture.pixels.size() / 3;
  for (std::size_t i = 0; i < picture.pixels.size(); ++i) {
    const std::size_t channel = i % 3;
    const auto value = static_cast<float>(static_cast<double>(picture.pixels[i]) * preprocessing.rescale_factor);
    result.values[channel * plane + i / 3] = (value - preprocessing.mean[channel]) / preprocessing.deviation[channel];
  }
  return result;
}

} // namespace tessera::image
