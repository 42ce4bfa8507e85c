#pragma once

#include <algorithm>
#include <cmath>

#include "tests/ops/ops_fixture.hpp"

namespace tessera::ops {

/// RMS norm of rows in double precision. The mean of E squares in fp32 is within E half ulps; its root halves that; a
/// few roundings more.
inline std::vector<Expected> naive_rms_norm(const HostTensor& x, const HostTensor& weight, double epsilon) {
  const std::int64_t width = x.shape[-1];
  std::vector<Expected> result;
  for (std::int64_t row = 0; row < x.shape.volume() / width; ++row) {
    double sum = 0;
    for (const float value : x.row(row)) sum += double{value} * value;
    const double scale = 1.0 / std::sqrt(sum / static_cast<double>(width) + epsilon);
    for (std::size_t i = 0; i < static_cast<std::size_t>(width); ++i) {
      const double value = x.row(row)[i] * scale * weight.data[i];
      result.push_back({value, (0.5 * static_cast<double>(width) + 8) * kHalfUlp * std::fabs(value)});
    }
  }
  return result;
}

/// Layer norm of rows in double precision, by deviations from the mean. The sums are exact to many more digits than
/// fp32 has, so what is left is a few roundings: those of the deviation, which is exact where the mean is large, and of
/// the products and the sum.
inline std::vector<Expected> naive_layer_norm(const HostTensor& x, const HostTensor& weight, const HostTensor& bias,
                                              double epsilon) {
  const std::int64_t width = x.shape[-1];
  const auto count = static_cast<double>(width);
  std::vector<Expected> result;
  for (std::int64_t row = 0; row < x.shape.volume() / width; ++row) {
    double mean = 0;
    for (const float value : x.row(row)) mean += value / count;
    double variance = 0;
    for (const float value : x.row(row)) variance += (value - mean) * (value - mean) / count;
    const double scale = 1.0 / std::sqrt(variance + epsilon);
    for (std::size_t i = 0; i < static_cast<std::size_t>(width); ++i) {
      const double normed = (x.row(row)[i] - mean) * scale * weight.data[i];
      result.push_back({normed + bias.data[i], 8 * kHalfUlp * (std::fabs(normed) + std::fabs(bias.data[i]))});
    }
  }
  return result;
}

} // namespace tessera::ops
