#pragma once

#include <cstdint>
#include <optional>

#include "tessera/ops/eltwise/activation.hpp"
#include "tessera/ops/sliding_window.hpp"

namespace tessera::ops {

struct Conv2dOptions {
  std::int64_t in_channels = 0;  ///< C
  std::int64_t out_channels = 0; ///< O
  std::int64_t batch_size = 1;
  std::int64_t input_height = 0;
  std::int64_t input_width = 0;
  Extent2d kernel_size;
  Extent2d stride;
  Extent2d padding{0, 0};
  Extent2d dilation;
  std::int64_t groups = 1;
  Tensor bias_tensor; ///< [1, 1, 1, O] TILE, or none
  Tensor residual;    ///< of the output's shape, TILE: added before the activation; or none
  Activation activation = Activation::NONE;
  DataType dtype = DataType::BFLOAT16;                ///< of the output
  std::optional<MemoryConfig> memory_config;          ///< of the output; the input's by default
  std::optional<ComputeConfig> compute_kernel_config; ///< by default what suits the weight's format
  std::optional<TensorMemoryLayout> shard_layout;     ///< on the card; by default the one that keeps most cores busy

  SlidingWindow window() const {
    return {batch_size, input_height, input_width, kernel_size, stride, padding, dilation};
  }
};

/// activation(convolution of input_tensor and weight + bias + residual): images as rows of pixels, [1, 1, N * H * W, C]
/// -> [1, 1, N * H' * W', O], all TILE, of any floating-point formats; the weight [1, 1, K, O] comes from
/// prepare_conv_weights. Cross-correlation as in PyTorch's Conv2d. Exact products of the stored values, fp32 sums in
/// one order over K: a pixel's result does not depend on the batch.
Tensor conv2d(const Tensor& input_tensor, const Tensor& weight_tensor, const Conv2dOptions& options);

} // namespace tessera::ops
