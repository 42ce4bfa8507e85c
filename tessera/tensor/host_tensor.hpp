#pragma once

#include <vector>

#include "tessera/spec/shape.hpp"

namespace tessera::tensor {

/// A tensor in host memory: fp32 values, row-major.
struct HostTensor {
  Shape shape;
  std::vector<float> data;

  /// The values of row `row` when all but the last dimension are folded into rows.
  std::span<const float> row(std::int64_t row_number) const {
    const auto width = static_cast<std::size_t>(shape[-1]);
    return {data.data() + static_cast<std::size_t>(row_number) * width, width};
  }
};

} // namespace tessera::tensor
