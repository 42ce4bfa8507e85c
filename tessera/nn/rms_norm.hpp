#pragma once

#include "tessera/ops/normalization/rms_norm.hpp"

namespace tessera::nn {

/// Root mean square norm of each row: x [1, 1, R, E] -> [1, 1, R, E].
struct RmsNorm {
  tensor::Tensor weight; ///< [1, 1, 1, E]
  float epsilon = 1e-5F;

  tensor::Tensor forward(const tensor::Tensor& x) const { return ops::rms_norm(x, weight, {.epsilon = epsilon}); }
};

} // namespace tessera::nn
