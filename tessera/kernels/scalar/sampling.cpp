#include <bit>
#include <cmath>
#include <limits>

#include "tessera/kernels/isa.hpp"

namespace tessera::kernels::scalar {
namespace {

float weight(float x, float maximum, float scale) {
  constexpr float kLeast = -40.0F;
  const float turns = (x - maximum) * scale;
  const float exponent = turns > kLeast ? turns : kLeast; // NaN becomes kLeast
  const float n = std::nearbyint(exponent);
  const float f = (exponent - n) * 0.693147181F;
  float power = 1.0F / 720;
  for (const float coefficient : {1.0F / 120, 1.0F / 24, 1.0F / 6, 0.5F, 1.0F, 1.0F}) power = power * f + coefficient;
  const float value = power * std::bit_cast<float>((static_cast<std::int32_t>(n) + 127) << 23);
  constexpr float kRound = 0x1p-10F; // 2^23 steps
  return (value + kRound) - kRound;
}

} // namespace

void block_maxima(const float* x, std::int64_t blocks, float* maxima) noexcept {
  for (std::int64_t block = 0; block < blocks; ++block) {
    float most = -std::numeric_limits<float>::infinity();
    for (std::int64_t i = block * kMaximaBlock; i < (block + 1) * kMaximaBlock; ++i) most = x[i] > most ? x[i] : most;
    maxima[block] = most;
  }
}

double softmax_weights(const float* x, std::int64_t count, float maximum, float scale, float* out) noexcept {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) sum += out[i] = weight(x[i], maximum, scale);
  return sum;
}

} // namespace tessera::kernels::scalar
