#pragma once

#include "tessera/ops/conv/conv2d.hpp"
#include "tessera/ops/matmul/matmul_units.hpp"

// A convolution as the card's units compute it. Private to this folder.

namespace tessera::ops {

/// A matmul of windows and the weight; blocks of the depth are rows of the window, where these are whole tiles.
MatmulUnits conv_units(const Tensor& input, const Tensor& weight, const Conv2dOptions& options,
                       const ComputeConfig& compute);
runtime::Stage conv_exactly(const Tensor& input, const Tensor& weight, const Conv2dOptions& options,
                            const Tensor& output, const MatmulUnits& units);

} // namespace tessera::ops
