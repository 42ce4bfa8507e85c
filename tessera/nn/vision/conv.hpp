#pragma once

#include "tessera/nn/vision/vision_model.hpp"
#include "tessera/ops/conv/conv2d.hpp"

namespace tessera::nn {

/// A convolution with its bias, into which a batch norm may be folded.
struct Conv {
  Tensor weight; ///< [1, 1, K, O], by prepare_conv_weights
  Tensor bias;   ///< [1, 1, 1, O], or none
  std::int64_t in_channels = 0;
  std::int64_t out_channels = 0;
  ops::Extent2d kernel_size;
  ops::Extent2d stride;
  ops::Extent2d padding{0, 0};
  std::int64_t groups = 1;

  /// `residual`, if defined, is added before the activation.
  FeatureMap forward(const FeatureMap& x, ops::Activation activation, DataType dtype,
                     const Tensor& residual = {}) const {
    const ops::Conv2dOptions options{.in_channels = in_channels,
                                     .out_channels = out_channels,
                                     .batch_size = x.items,
                                     .input_height = x.height(),
                                     .input_width = x.width(),
                                     .kernel_size = kernel_size,
                                     .stride = stride,
                                     .padding = padding,
                                     .groups = groups,
                                     .bias_tensor = bias,
                                     .residual = residual,
                                     .activation = activation,
                                     .dtype = dtype};
    const ops::Extent2d output = options.window().output();
    return {ops::conv2d(x.rows, weight, options), x.items, {output.height, output.width}};
  }
};

} // namespace tessera::nn
