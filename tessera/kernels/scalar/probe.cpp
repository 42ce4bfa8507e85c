#include <cstring>

#include "tessera/kernels/isa.hpp"

namespace tessera::kernels::scalar {

std::uint64_t read_memory(const std::byte* memory, std::int64_t bytes) noexcept {
  std::uint64_t sums[4] = {};
  for (std::int64_t at = 0; at < bytes; at += sizeof sums) {
    std::uint64_t values[4];
    std::memcpy(values, memory + at, sizeof values);
    for (int i = 0; i < 4; ++i) sums[i] += values[i];
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}

std::int64_t multiply_add(std::int64_t rounds) noexcept {
  constexpr int kChains = 16;
  float sums[kChains] = {};
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (float& sum : sums) {
      sum = sum * 0.5F + 0.25F;
      asm volatile("" : "+m"(sum));
    }
  }
  return rounds * kChains * 2;
}

} // namespace tessera::kernels::scalar
