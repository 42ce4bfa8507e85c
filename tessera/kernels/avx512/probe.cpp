#include "tessera/kernels/avx512/vec.hpp"
#include "tessera/kernels/isa.hpp"

namespace tessera::kernels::avx512 {

std::uint64_t read_memory(const std::byte* memory, std::int64_t bytes) noexcept {
  __m512i sums[4] = {};
  for (std::int64_t at = 0; at < bytes; at += 256) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) sums[i] = _mm512_add_epi64(sums[i], _mm512_load_si512(memory + at + 64 * i));
  }
  const __m512i sum = _mm512_add_epi64(_mm512_add_epi64(sums[0], sums[1]), _mm512_add_epi64(sums[2], sums[3]));
  return static_cast<std::uint64_t>(_mm512_reduce_add_epi64(sum));
}

std::int64_t multiply_add(std::int64_t rounds) noexcept {
  // Sixteen chains hide the latency of vdpbf16ps; the barrier keeps each of them.
  constexpr int kChains = 16;
  __m512 sums[kChains] = {};
  const auto halves = reinterpret_cast<__m512bh>(_mm512_set1_epi16(0x3F00));
  for (std::int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) {
      sums[i] = _mm512_dpbf16_ps(sums[i], halves, halves);
      asm volatile("" : "+v"(sums[i]));
    }
  }
  return rounds * kChains * 32 * 2;
}

} // namespace tessera::kernels::avx512
