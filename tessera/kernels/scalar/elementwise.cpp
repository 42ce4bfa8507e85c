#include <cmath>

#include "tessera/kernels/isa.hpp"

namespace tessera::kernels::scalar {

void rotate_pairs(const float* x, const float* cos, const float* sin, std::int64_t count, float* out) noexcept {
  for (std::int64_t i = 0; i + 1 < count; i += 2) {
    const float even = x[i];
    const float odd = x[i + 1];
    out[i] = std::fma(even, cos[i], -(odd * sin[i]));
    out[i + 1] = std::fma(odd, cos[i + 1], even * sin[i + 1]);
  }
}

void silu(const float* x, std::int64_t count, float* out) noexcept {
  for (std::int64_t i = 0; i < count; ++i) out[i] = x[i] / (1.0F + std::exp(-x[i]));
}

void gelu(const float* x, std::int64_t count, float* out) noexcept {
  constexpr double kHalfRoot = 0.70710678118654752440;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto value = static_cast<double>(x[i]);
    out[i] = static_cast<float>(0.5 * value * std::erfc(-value * kHalfRoot));
  }
}

void gelu_tanh(const float* x, std::int64_t count, float* out) noexcept {
  constexpr double kRoot = 1.59576912160573071176; // sqrt(8 / pi)
  for (std::int64_t i = 0; i < count; ++i) {
    const auto value = static_cast<double>(x[i]);
    out[i] = static_cast<float>(value / (1.0 + std::exp(-kRoot * (value + 0.044715 * value * value * value))));
  }
}

void softcap(const float* x, float cap, std::int64_t count, float* out) noexcept {
  for (std::int64_t i = 0; i < count; ++i)
    out[i] = static_cast<float>(double{cap} * std::tanh(static_cast<double>(x[i]) / cap));
}

void add(const float* a, const float* b, std::int64_t count, float* out) noexcept {
  for (std::int64_t i = 0; i < count; ++i) out[i] = a[i] + b[i];
}

void max(const float* a, const float* b, std::int64_t count, float* out) noexcept {
  for (std::int64_t i = 0; i < count; ++i) out[i] = a[i] > b[i] ? a[i] : b[i];
}

void relu(const float* x, std::int64_t count, float* out) noexcept {
  for (std::int64_t i = 0; i < count; ++i) out[i] = x[i] < 0.0F ? 0.0F : x[i];
}

void mul(const float* a, const float* b, std::int64_t count, float* out) noexcept {
  for (std::int64_t i = 0; i < count; ++i) out[i] = a[i] * b[i];
}

} // namespace tessera::kernels::scalar
