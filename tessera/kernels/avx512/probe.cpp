#include "tessera/kernels/avx512/vec.hpp"
#include "tessera/kernels/isa.hpp"

namespace tessera::kernels::avx512 {

std::uint64_t read_memory(const std::byte* memory, std::int64_t bytes) noexcept {
  __m512i sums[4] = {};
  for (std::int64_t at = 0; at < bytes; at += 256) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) sums[i] = _mm512_add_epi64(sums[i], _mm512_load_si512(memory + at + 64 * i));
  }
  for (int i = 1; i < 4; ++i) sums[0] = _mm512_add_epi64(sums[0], sums[i]);
  alignas(64) std::uint64_t lanes[8];
  _mm512_store_si512(lanes, sums[0]);
  std::uint64_t sum = 0;
  for (const std::uint64_t lane : lanes) sum += lane;
  return sum;
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
