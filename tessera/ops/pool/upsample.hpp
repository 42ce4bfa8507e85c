#pragma once

#include <cstdint>
#include <optional>

#include "tessera/ops/sliding_window.hpp"

namespace tessera::ops {

enum class UpsampleMode { NEAREST, BILINEAR };

struct UpsampleOptions {
  std::int64_t batch_size = 1;
  std::int64_t input_height = 0;
  std::int64_t input_width = 0;
  Extent2d scale_factor{2, 2}; ///< whole numbers
  UpsampleMode mode = UpsampleMode::NEAREST;
  std::optional<DataType> dtype;             ///< of the output; the input's by default
  std::optional<MemoryConfig> memory_config; ///< of the output; the input's by default
};

/// Larger images: rows of pixels [1, 1, N * H * W, C] -> [1, 1, N * H * sh * W * sw, C], TILE. NEAREST repeats pixels;
/// BILINEAR weighs the four around a pixel's centre, in fp32, as PyTorch's Upsample with align_corners=False.
Tensor upsample(const Tensor& input_tensor, const UpsampleOptions& options);

} // namespace tessera::ops
