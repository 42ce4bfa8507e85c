#pragma once

#include <cstdint>
#include <optional>

#include "tessera/ops/sliding_window.hpp"

namespace tessera::ops {

struct FoldOptions {
  Extent2d stride;
  Extent2d padding{0, 0}; ///< zeros around each image, on all four sides
  /// The input is [N, C, H, W] in ROW_MAJOR, FLOAT32 or BFLOAT16: what a host has. Else it is rows of pixels, and the
  /// extents of its images are these.
  bool use_transpose_as_fold = false;
  std::int64_t batch_size = 1;
  std::int64_t input_height = 0;
  std::int64_t input_width = 0;
  std::optional<DataType> dtype;             ///< of the output; the input's by default
  std::optional<MemoryConfig> memory_config; ///< of the output; the input's by default
};

/// Blocks of sh x sw pixels become one pixel each: [1, 1, N * H * W, C] TILE, or [N, C, H, W], -> [1, 1, N * H' * W',
/// sh * sw * C] TILE, with H' = (H + 2 padding) / sh and channels in the order (dy, dx, c). A convolution whose stride
/// is sh x sw has stride 1 on it (fold_conv_weights). Throws InvalidArgument unless the stride divides the padded
/// image.
Tensor fold(const Tensor& input_tensor, const FoldOptions& options);

} // namespace tessera::ops
