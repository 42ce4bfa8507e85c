#pragma once

#include <cstdint>
#include <optional>

#include "tessera/ops/sliding_window.hpp"

namespace tessera::ops {

struct Pool2dOptions {
  std::int64_t batch_size = 1;
  std::int64_t input_height = 0;
  std::int64_t input_width = 0;
  std::int64_t channels = 0; ///< C
  Extent2d kernel_size;
  Extent2d stride;
  Extent2d padding{0, 0};
  Extent2d dilation; ///< max_pool2d only
  bool ceil_mode = false;
  bool count_include_pad = true;                  ///< avg_pool2d: the padding counts as zeros of the mean
  std::optional<std::int64_t> divisor_override;   ///< avg_pool2d: in place of the number of pixels
  std::optional<DataType> dtype;                  ///< of the output; the input's by default
  std::optional<MemoryConfig> memory_config;      ///< of the output; the input's by default
  std::optional<TensorMemoryLayout> shard_layout; ///< on the card; by default the one that keeps most cores busy

  SlidingWindow window() const {
    return {batch_size, input_height, input_width, kernel_size, stride, padding, dilation, ceil_mode};
  }
};

/// The largest value, or the mean, of each channel over each window: images as rows of pixels, [1, 1, N * H * W, C] ->
/// [1, 1, N * H' * W', C], TILE, in fp32. As PyTorch's MaxPool2d and AvgPool2d; the padding is at most half the window.
/// A NaN in a window of max_pool2d may be passed over.
Tensor max_pool2d(const Tensor& input_tensor, const Pool2dOptions& options);
Tensor avg_pool2d(const Tensor& input_tensor, const Pool2dOptions& options);

struct GlobalAvgPool2dOptions {
  std::int64_t batch_size = 1;
  std::optional<DataType> dtype;             ///< of the output; the input's by default
  std::optional<MemoryConfig> memory_config; ///< of the output; the input's by default
};
/// The mean of each channel over each image: [1, 1, N * P, C] -> [1, 1, N, C], TILE, in fp32.
Tensor global_avg_pool2d(const Tensor& input_tensor, const GlobalAvgPool2dOptions& options);

} // namespace tessera::ops
