#include "tessera/kernels/avx2/vec.hpp"
#include "tessera/kernels/isa.hpp"

namespace tessera::kernels::avx2 {

std::uint64_t read_memory(const std::byte* memory, std::int64_t bytes) noexcept {
  __m256i sums[8] = {};
  for (std::int64_t at = 0; at < bytes; at += 256) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      sums[i] = _mm256_add_epi64(sums[i], _mm256_load_si256(reinterpret_cast<const __m256i*>(memory + at + 32 * i)));
    }
  }
  for (int i = 1; i < 8; ++i) sums[0] = _mm256_add_epi64(sums[0], sums[i]);
  alignas(32) std::uint64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), sums[0]);
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

std::int64_t multiply_add(std::int64_t rounds) noexcept {
  // Ten chains hide the latency of two multiply-adds a cycle; the barrier keeps each of them.
  constexpr int kChains = 10;
  __m256 sums[kChains] = {};
  const __m256 factor = _mm256_set1_ps(0.5F);
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 10
    for (int i = 0; i < kChains; ++i) {
      sums[i] = _mm256_fmadd_ps(factor, factor, sums[i]);
      asm volatile("" : "+x"(sums[i]));
    }
  }
  return rounds * kChains * 8 * 2;
}

} // namespace tessera::kernels::avx2
