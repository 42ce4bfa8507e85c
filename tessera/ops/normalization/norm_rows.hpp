#pragma once

#include <optional>
#include <string_view>

#include "tessera/ops/op.hpp"

namespace tessera::ops {

// What the norms have in common.

/// A norm's weight and bias, [1, 1, 1, E] TILE; either may be absent.
struct NormParameters {
  Tensor weight;
  Tensor bias;
};
/// Throws InvalidArgument unless those present fit the rows of `input` and lie on its device.
void require_parameters(std::string_view op, const NormParameters& parameters, const Tensor& input);

/// The parameters as kernels take them.
struct LoadedParameters {
  const float* gamma = nullptr;
  const float* beta = nullptr;
};
/// For programs: reads the parameters, ones and zeros where they are absent.
class ParameterRows {
 public:
  explicit ParameterRows(const NormParameters& parameters);
  /// Uses 2 * width floats of `memory`.
  LoadedParameters load(std::int64_t chip, std::int64_t width, float* memory) const;

 private:
  bool has_weight_;
  bool has_bias_;
  DeviceView weight_;
  DeviceView bias_;
};

/// A TILE tensor for a norm's output: the input's format and place unless others are asked for.
Tensor norm_output(std::string_view op, const Tensor& input, const Shape& shape, std::optional<DataType> dtype,
                   const std::optional<MemoryConfig>& memory_config);

/// 1 / sqrt(mean(x^2) + epsilon) in fp32, of rows of `width` elements.
float rms_scale(double sum_of_squares, std::int64_t width, float epsilon);

/// What layer norm takes off a row, and what it multiplies the rest by.
struct MeanAndScale {
  double mean = 0;
  float scale = 0;
};
/// The variance is E[x^2] - E[x]^2. In double precision the squares are exact, and what cancels leaves more digits than
/// fp32 values have, up to a mean of a million standard deviations.
MeanAndScale mean_and_scale(const kernels::Moments& moments, std::int64_t width, float epsilon);

} // namespace tessera::ops
