#pragma once

#include <optional>

#include "tessera/ops/op.hpp"

namespace tessera::ops {

struct GeluOptions {
  /// The form by tanh instead of the exact one by the error function. On the card TT-NN's fast mode is a table of
  /// lines; here it is the approximation that models are trained with.
  bool fast_and_approximate_mode = false;
  std::optional<DataType> dtype;             ///< of the output; the input's by default
  std::optional<MemoryConfig> memory_config; ///< of the output; the input's by default
};

/// x / 2 (1 + erf(x / sqrt(2))) of each element (Hendrycks and Gimpel, "Gaussian Error Linear Units"), TILE layout, in
/// fp32, rounded once.
Tensor gelu(const Tensor& input_tensor, const GeluOptions& options = {});

/// Each element times a number, TILE layout, in fp32, rounded once: TT-NN's multiply by a scalar.
Tensor mul(const Tensor& input_tensor, float scalar);

/// tanh(x) of each element, TILE layout, in fp32, rounded once.
Tensor tanh(const Tensor& input_tensor);

/// cap * tanh(x / cap) of each element, which keeps it within -cap .. cap, TILE layout, in fp32, rounded once. In TT-NN
/// a chain of multiply, tanh and multiply. Throws InvalidArgument unless cap is positive.
Tensor softcap(const Tensor& input_tensor, float cap);

} // namespace tessera::ops
