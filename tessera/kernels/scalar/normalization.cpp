#include <cmath>

#include "tessera/kernels/isa.hpp"

namespace tessera::kernels::scalar {

double sum_of_squares(const float* x, std::int64_t count) noexcept {
  return moments(x, count).sum_of_squares;
}

void scale_row(const float* x, const float* gamma, float scale, std::int64_t count, float* out) noexcept {
  for (std::int64_t i = 0; i < count; ++i) out[i] = x[i] * scale * gamma[i];
}

Moments moments(const float* x, std::int64_t count) noexcept {
  Moments result;
  for (std::int64_t i = 0; i < count; ++i) {
    result.sum += static_cast<double>(x[i]);
    result.sum_of_squares += static_cast<double>(x[i]) * x[i];
  }
  return result;
}

void normalize(const float* x, double mean, float scale, const float* gamma, const float* beta, std::int64_t count,
               float* out) noexcept {
  const auto high = static_cast<float>(mean);
  const auto rest = static_cast<float>(mean - static_cast<double>(high));
  for (std::int64_t i = 0; i < count; ++i) out[i] = std::fma((x[i] - high - rest) * scale, gamma[i], beta[i]);
}

} // namespace tessera::kernels::scalar
