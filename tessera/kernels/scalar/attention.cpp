#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "tessera/kernels/isa.hpp"

namespace tessera::kernels::scalar {
namespace {

constexpr std::int64_t kKeys = 32;

float score(const AttentionBlock& block, std::int64_t row, std::int64_t key) {
  const float* q = block.q + row * block.head_dim;
  float sum = 0;
  for (std::int64_t d = 0; d < block.head_dim; ++d) sum = std::fma(q[d], block.k_transposed[d * kKeys + key], sum);
  sum *= block.scale;
  if (block.softcap != 0) sum = block.softcap * std::tanh(sum / block.softcap);
  return block.bias == nullptr ? sum : sum + block.bias[row * kKeys + key];
}

} // namespace

void attention_block(const AttentionState& state, const AttentionBlock& block) noexcept {
  for (std::int64_t row = 0; row < block.rows; ++row) {
    const std::int64_t first = block.first[row];
    const std::int64_t last = block.last[row];
    if (first >= last) continue;
    std::array<float, kKeys> weights;
    float maximum = state.maximum[row];
    for (std::int64_t j = first; j < last; ++j) {
      float& weight = weights[static_cast<std::size_t>(j)];
      weight = score(block, row, j);
      maximum = std::max(maximum, weight);
    }
    if (maximum == -std::numeric_limits<float>::infinity()) continue; // all of them weigh nothing
    const float correction = std::exp(state.maximum[row] - maximum);
    float sum = 0;
    for (std::int64_t j = first; j < last; ++j) {
      float& weight = weights[static_cast<std::size_t>(j)];
      weight = std::exp(weight - maximum);
      sum += weight;
    }
    state.maximum[row] = maximum;
    state.sum[row] = std::fma(state.sum[row], correction, sum);
    for (std::int64_t d = 0; d < block.head_dim; ++d) {
      float& value = state.accumulator[row * block.head_dim + d];
      value *= correction;
      for (std::int64_t j = first; j < last; ++j) {
        value = std::fma(weights[static_cast<std::size_t>(j)], block.v[j * block.head_dim + d], value);
      }
    }
  }
}

void attention_finish(const AttentionState& state, std::int64_t rows, std::int64_t head_dim, float* out) noexcept {
  for (std::int64_t row = 0; row < rows; ++row) {
    const float sum = state.sum[row];
    for (std::int64_t d = 0; d < head_dim; ++d) {
      const std::int64_t at = row * head_dim + d;
      out[at] = sum == 0 ? 0.0F : state.accumulator[at] / sum;
    }
  }
}

} // namespace tessera::kernels::scalar
