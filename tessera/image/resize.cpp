#include "tessera/image/resize.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tessera/base/error.hpp"

namespace tessera::image {
namespace {

constexpr int kPrecision = 22; // bits behind the point of a weight: 32 less 8 of a pixel and 2 to spare

struct Filter {
  double support;
  double (*value)(double);
};

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

Filter filter_of(Resample resample) {
  switch (resample) {
    case Resample::LANCZOS:
      return {3.0, [](double x) { return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }};
    case Resample::BICUBIC: // Keys, "Cubic convolution interpolation", with a = -1/2
      return {2.0, [](double x) {
                constexpr double a = -0.5;
                x = std::fabs(x);
                if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
                return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * a : 0.0;
              }};
    default:
      return {1.0, [](double x) { return std::max(0.0, 1.0 - std::fabs(x)); }};
  }
}

/// What one pixel of the result is made of: neighbours from `first` on, and their weights in fixed point.
struct Mixture {
  std::int64_t first = 0;
  std::vector<std::int32_t> weights;
};

std::vector<Mixture> mixtures(std::int64_t from, std::int64_t to, const Filter& filter) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double stretch = std::max(scale, 1.0);
  const double support = filter.support * stretch;
  std::vector<Mixture> result;
  for (std::int64_t i = 0; i < to; ++i) {
    const double centre = (static_cast<double>(i) + 0.5) * scale;
    const auto first = std::max<std::int64_t>(static_cast<std::int64_t>(centre - support + 0.5), 0);
    const auto last = std::min(static_cast<std::int64_t>(centre + support + 0.5), from);
    std::vector<double> weights;
    double sum = 0.0;
    for (std::int64_t j = first; j < last; ++j) {
      weights.push_back(filter.value((static_cast<double>(j) - centre + 0.5) * (1.0 / stretch)));
      sum += weights.back();
    }
    Mixture& mixture = result.emplace_back(Mixture{first, {}});
    for (const double weight : weights) {
      const double fixed = (sum != 0.0 ? weight / sum : weight) * (1 << kPrecision);
      mixture.weights.push_back(static_cast<std::int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5));
    }
  }
  return result;
}

/// Bytes a step apart, mixed.
std::uint8_t mix(const Mixture& mixture, const std::uint8_t* pixel, std::int64_t step) {
  std::int32_t sum = 1 << (kPrecision - 1);
  pixel += mixture.first * step;
  for (const std::int32_t weight : mixture.weights) {
    sum += *pixel * weight;
    pixel += step;
  }
  return static_cast<std::uint8_t>(std::clamp(sum >> kPrecision, 0, 255));
}

Image empty_image(std::int64_t height, std::int64_t width) {
  return {height, width, std::vector<std::uint8_t>(static_cast<std::size_t>(height * width * 3))};
}

Image nearest(const Image& image, std::int64_t height, std::int64_t width) {
  Image result = empty_image(height, width);
  const auto place = [](std::int64_t i, std::int64_t from, std::int64_t to) {
    return std::min(static_cast<std::int64_t>((static_cast<double>(i) + 0.5) *
                                              (static_cast<double>(from) / static_cast<double>(to))),
                    from - 1);
  };
  for (std::int64_t y = 0; y < height; ++y) {
    const std::uint8_t* from = image.row(place(y, image.height, height));
    for (std::int64_t x = 0; x < width; ++x)
      std::copy_n(from + place(x, image.width, width) * 3, 3, result.row(y) + x * 3);
  }
  return result;
}

} // namespace

Image resize(const Image& image, std::int64_t height, std::int64_t width, Resample resample) {
  base::require(height > 0 && width > 0 && width <= kMostPixels / height,
                "[resize] 1 to {} pixels are required; received {}x{}", kMostPixels, height, width);
  if (height == image.height && width == image.width) return image;
  if (resample == Resample::NEAREST) return nearest(image, height, width);
  const Filter filter = filter_of(resample);
  Image wide = image;
  if (width != image.width) {
    wide = empty_image(image.height, width);
    const std::vector<Mixture> across = mixtures(image.width, width, filter);
    for (std::int64_t y = 0; y < image.height; ++y) {
      for (std::int64_t i = 0; i < width * 3; ++i)
        wide.row(y)[i] = mix(across[static_cast<std::size_t>(i / 3)], image.row(y) + i % 3, 3);
    }
  }
  if (height == image.height) return wide;
  Image result = empty_image(height, width);
  const std::vector<Mixture> down = mixtures(image.height, height, filter);
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t i = 0; i < width * 3; ++i)
      result.row(y)[i] = mix(down[static_cast<std::size_t>(y)], wide.pixels.data() + i, width * 3);
  }
  return result;
}

Image center_crop(const Image& image, std::int64_t height, std::int64_t width) {
  base::require(0 < height && height <= image.height && 0 < width && width <= image.width,
                "[center_crop] at most {}x{} pixels are there; received {}x{}", image.height, image.width, height,
                width);
  Image result = empty_image(height, width);
  const std::int64_t top = (image.height - height) / 2;
  const std::int64_t left = (image.width - width) / 2;
  for (std::int64_t y = 0; y < height; ++y) std::copy_n(image.row(top + y) + left * 3, width * 3, result.row(y));
  return result;
}

} // namespace tessera::image
