#pragma once

#include <cmath>
#include <limits>

#include "tessera/ops/conv/conv2d.hpp"
#include "tests/ops/ops_fixture.hpp"

// Convolutions and pools as their definitions say, one sum at a time, in double precision. Images are NHWC.

namespace tessera::ops {

/// Value (image, y, x, c) of rows of pixels; 0 beyond the border.
inline double pixel(const HostTensor& images, const SlidingWindow& window, std::int64_t image, std::int64_t y,
                    std::int64_t x, std::int64_t c) {
  if (y < 0 || y >= window.input_height || x < 0 || x >= window.input_width) return 0;
  const std::int64_t row = (image * window.input_height + y) * window.input_width + x;
  return images.row(row)[static_cast<std::size_t>(c)];
}

/// PyTorch's Conv2d: weight [O, C / groups, kh, kw], bias [O] or null.
inline std::vector<Expected> naive_conv2d(const HostTensor& images, const HostTensor& weight, const HostTensor* bias,
                                          const HostTensor* residual, const Conv2dOptions& options) {
  const SlidingWindow window = options.window();
  const Extent2d out = window.output();
  const std::int64_t of_group = options.in_channels / options.groups;
  std::vector<Expected> result;
  for (std::int64_t row = 0; row < window.output_rows(); ++row) {
    const std::int64_t image = row / (out.height * out.width);
    const std::int64_t top = row / out.width % out.height * window.stride.height - window.padding.height;
    const std::int64_t left = row % out.width * window.stride.width - window.padding.width;
    for (std::int64_t o = 0; o < options.out_channels; ++o) {
      double sum = bias == nullptr ? 0 : bias->data[static_cast<std::size_t>(o)];
      if (residual != nullptr) sum += residual->row(row)[static_cast<std::size_t>(o)];
      double magnitude = std::fabs(sum);
      const std::int64_t first = o / (options.out_channels / options.groups) * of_group;
      for (std::int64_t c = 0; c < of_group; ++c) {
        for (std::int64_t y = 0; y < window.kernel_size.height; ++y) {
          for (std::int64_t x = 0; x < window.kernel_size.width; ++x) {
            const std::int64_t w = ((o * of_group + c) * window.kernel_size.height + y) * window.kernel_size.width + x;
            const double product = pixel(images, window, image, top + y * window.dilation.height,
                                         left + x * window.dilation.width, first + c) *
                                   double{weight.data[static_cast<std::size_t>(w)]};
            sum += product;
            magnitude += std::fabs(product);
          }
        }
      }
      if (options.activation == Activation::RELU) sum = std::max(sum, 0.0);
      const std::int64_t terms = of_group * window.kernel_size.height * window.kernel_size.width + 3;
      result.push_back({sum, static_cast<double>(terms) * kHalfUlp * magnitude});
    }
  }
  return result;
}

} // namespace tessera::ops
