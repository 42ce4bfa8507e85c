#pragma once

#include "tests/ops/ops_fixture.hpp"

namespace tessera::ops {

/// What attention may take away from a weight besides: where no operand is FLOAT32 it is rounded to bfloat16, half an
/// ulp of 8 bits, and its power of two is within 2.9e-6.
inline double weight_error_of(DataType activation, DataType cache) {
  return activation == DataType::FLOAT32 || cache == DataType::FLOAT32 ? 0.0 : 0x1p-9 + 0x1p-18;
}

/// softmax(scale q k^T) v of one query over some keys in double precision, appended to `result`.
///
/// fp32 error: a score is off by D half ulps of its products' magnitudes and a few more; the running maximum and the
/// exponential (within 2 ulps) add a little for each block of keys; so every weight is off by a factor of
/// exp(e), e = the largest score error + T half ulps, and numerator and denominator each by that. V enters linearly.
/// `weight_error` is what else a weight may be off by, relatively. `softcap` and `bias`, of each key, as
/// AttentionOptions has them.
inline void naive_attention(std::span<const float> q, const std::vector<std::span<const float>>& keys,
                            const std::vector<std::span<const float>>& values, double scale,
                            std::vector<Expected>& result, double weight_error = 0, double softcap = 0,
                            const float* bias = nullptr) {
  const std::size_t head_dim = q.size();
  std::vector<double> scores;
  double maximum = -INFINITY;
  double largest_magnitude = 0;
  for (const auto& key : keys) {
    double score = 0;
    double magnitude = 0;
    for (std::size_t d = 0; d < head_dim; ++d) {
      score += double{q[d]} * key[d];
      magnitude += std::fabs(double{q[d]} * key[d]);
    }
    score *= scale;
    if (softcap != 0) score = softcap * std::tanh(score / softcap);
    if (bias != nullptr) score += bias[scores.size()];
    scores.push_back(score);
    maximum = std::max(maximum, scores.back());
    largest_magnitude = std::max(largest_magnitude, magnitude * scale);
  }
  double sum = 0;
  for (double& score : scores) sum += score = std::exp(score - maximum);
  if (softcap != 0) largest_magnitude += 4 * softcap;
  for (std::size_t j = 0; bias != nullptr && j < keys.size(); ++j)
    largest_magnitude = std::max(largest_magnitude, std::fabs(double{bias[j]}));
  weight_error +=
      kHalfUlp * ((static_cast<double>(head_dim) + 4) * largest_magnitude + static_cast<double>(keys.size()) + 16);
  for (std::size_t d = 0; d < head_dim; ++d) {
    double value = 0;
    double magnitude = 0;
    for (std::size_t j = 0; j < keys.size(); ++j) {
      value += scores[j] / sum * values[j][d];
      magnitude += std::fabs(scores[j] / sum * values[j][d]);
    }
    result.push_back({value, 2 * weight_error * magnitude});
  }
}

} // namespace tessera::ops
