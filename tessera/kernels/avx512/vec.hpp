#pragma once

// GCC 12 takes the don't-care operands in its own header for mistakes (gcc.gnu.org/bugzilla, 105593).
#ifndef __clang__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#ifndef __clang__
#pragma GCC diagnostic pop
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tessera::kernels::avx512 {

// The vector type that generic/ is written on: 16 floats or 32-bit integers, and a mask of them.
inline constexpr std::int64_t kLanes = 16;
using Vec = __m512;
using VecI = __m512i;
using Mask = __mmask16;
/// Whether pack_bf16 leaves bfloat16 values as they are, one after another.
inline constexpr bool kPacksBfloat16 = true;

// Rows of the matmul's register tile. 32 registers: 12 rows of 2 sums, 2 vectors of weights, 1 of activations; fewer
// rows where the weights are widened in between, which needs constants.
inline constexpr int kTileRows = 12;
inline constexpr int kFusedRows = 8;

inline Vec zero() {
  return _mm512_setzero_ps();
}
inline Vec broadcast(float value) {
  return _mm512_set1_ps(value);
}
inline VecI broadcast_int(std::int32_t value) {
  return _mm512_set1_epi32(value);
}
inline Vec load(const float* p) {
  return _mm512_loadu_ps(p);
}
inline void store(float* p, Vec v) {
  _mm512_storeu_ps(p, v);
}
/// The lanes below `count`, 0 to kLanes.
inline Mask first_lanes(std::int64_t count) {
  return static_cast<Mask>((1U << count) - 1);
}
inline Vec load_first(const float* p, std::int64_t count) {
  return _mm512_maskz_loadu_ps(first_lanes(count), p);
}
inline void store_first(float* p, Vec v, std::int64_t count) {
  _mm512_mask_storeu_ps(p, first_lanes(count), v);
}

inline Vec fma(Vec a, Vec b, Vec c) {
  return _mm512_fmadd_ps(a, b, c);
}
inline Vec add(Vec a, Vec b) {
  return _mm512_add_ps(a, b);
}
inline Vec sub(Vec a, Vec b) {
  return _mm512_sub_ps(a, b);
}
inline Vec mul(Vec a, Vec b) {
  return _mm512_mul_ps(a, b);
}
inline Vec div(Vec a, Vec b) {
  return _mm512_div_ps(a, b);
}
/// b where either is NaN.
inline Vec min(Vec a, Vec b) {
  return _mm512_min_ps(a, b);
}
inline Vec max(Vec a, Vec b) {
  return _mm512_max_ps(a, b);
}
inline float reduce_add(Vec v) {
  return _mm512_reduce_add_ps(v);
}
inline float reduce_max(Vec v) {
  return _mm512_reduce_max_ps(v);
}

/// Half of a vector's lanes in double precision.
using VecD = __m512d;
inline VecD zero_double() {
  return _mm512_setzero_pd();
}
inline VecD widen_low(Vec v) {
  return _mm512_cvtps_pd(_mm512_castps512_ps256(v));
}
inline VecD widen_high(Vec v) {
  return _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
}
inline VecD fma(VecD a, VecD b, VecD c) {
  return _mm512_fmadd_pd(a, b, c);
}
inline VecD add(VecD a, VecD b) {
  return _mm512_add_pd(a, b);
}
inline double reduce_add(VecD v) {
  return _mm512_reduce_add_pd(v);
}

/// Exchanges neighbours: lanes 1, 0, 3, 2, ...
inline Vec swap_pairs(Vec v) {
  return _mm512_permute_ps(v, 0xB1);
}

inline VecI bits(Vec v) {
  return _mm512_castps_si512(v);
}
inline Vec from_bits(VecI v) {
  return _mm512_castsi512_ps(v);
}
inline Vec negate(Vec v) {
  return _mm512_xor_ps(v, broadcast(-0.0F));
}
/// To the nearest integer, ties to even.
inline VecI round_to_int(Vec v) {
  return _mm512_cvtps_epi32(v);
}
inline Vec to_float(VecI v) {
  return _mm512_cvtepi32_ps(v);
}
inline VecI iadd(VecI a, VecI b) {
  return _mm512_add_epi32(a, b);
}
inline VecI isub(VecI a, VecI b) {
  return _mm512_sub_epi32(a, b);
}
/// The low 32 bits of the product.
inline VecI imul(VecI a, VecI b) {
  return _mm512_mullo_epi32(a, b);
}
inline VecI iand(VecI a, VecI b) {
  return _mm512_and_si512(a, b);
}
inline VecI ior(VecI a, VecI b) {
  return _mm512_or_si512(a, b);
}
inline VecI ixor(VecI a, VecI b) {
  return _mm512_xor_si512(a, b);
}
inline VecI imin(VecI a, VecI b) {
  return _mm512_min_epi32(a, b);
}
inline VecI imax(VecI a, VecI b) {
  return _mm512_max_epi32(a, b);
}
inline std::int32_t reduce_imax(VecI v) {
  return _mm512_reduce_max_epi32(v);
}
template <int N>
inline VecI shift_left(VecI v) {
  return _mm512_slli_epi32(v, N);
}
template <int N>
inline VecI shift_right(VecI v) {
  return _mm512_srli_epi32(v, N);
}
template <int N>
inline VecI shift_right_arithmetic(VecI v) {
  return _mm512_srai_epi32(v, N);
}
/// Lane by lane; 32 and more give 0.
inline VecI shift_left(VecI v, VecI count) {
  return _mm512_sllv_epi32(v, count);
}
/// Lane by lane; 32 and more give copies of the sign.
inline VecI shift_right_arithmetic(VecI v, VecI count) {
  return _mm512_srav_epi32(v, count);
}
/// Logical, lane by lane; 32 and more give 0.
inline VecI shift_right(VecI v, VecI count) {
  return _mm512_srlv_epi32(v, count);
}

inline Mask equal(VecI a, VecI b) {
  return _mm512_cmpeq_epi32_mask(a, b);
}
inline Mask greater(VecI a, VecI b) {
  return _mm512_cmpgt_epi32_mask(a, b);
}
inline Mask both(Mask a, Mask b) {
  return static_cast<Mask>(a & b);
}
inline bool any(Mask m) {
  return m != 0;
}
inline VecI select(Mask m, VecI yes, VecI no) {
  return _mm512_mask_blend_epi32(m, no, yes);
}

inline VecI lane_numbers() {
  return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
/// Asks for a cache line into the level 2 cache; any address is allowed.
inline void prefetch(const std::byte* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1);
}
inline VecI load_bits(const std::byte* p) {
  return _mm512_loadu_si512(reinterpret_cast<const __m512i*>(p));
}
inline void store_bits(std::byte* p, VecI v) {
  _mm512_storeu_si512(reinterpret_cast<__m512i*>(p), v);
}
inline VecI load_u8(const std::byte* p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline VecI load_u16(const std::byte* p) {
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
/// The low byte, or the low 16 bits, of every lane.
inline void store_u8(std::byte* p, VecI v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(v));
}
inline void store_u16(std::byte* p, VecI v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(v));
}

/// kLanes block-float codes as floats: sign and magnitude, the magnitude in BFLOAT8_B's units (0 to 127).
inline Vec load_codes8(const std::byte* p) {
  const VecI codes = load_u8(p);
  const VecI magnitude = bits(to_float(iand(codes, broadcast_int(0x7F))));
  constexpr int kOrAnd = 0xF8; // magnitude | (sign & mask)
  return from_bits(_mm512_ternarylogic_epi32(magnitude, shift_left<24>(codes),
                                             broadcast_int(static_cast<std::int32_t>(0x80000000)), kOrAnd));
}
inline Vec load_codes4(const std::byte* p) {
  std::int64_t packed = 0;
  std::memcpy(&packed, p, sizeof(packed));
  // Of every 64-bit lane, byte 0 starts at the bit of the even element, byte 4 at that of the odd one; the look-up
  // ignores all but the lowest 4 bits of each 32.
  const VecI starts = _mm512_setr_epi64(0x0400000000, 0x0C00000008, 0x1400000010, 0x1C00000018, 0x2400000020,
                                        0x2C00000028, 0x3400000030, 0x3C00000038);
  const VecI codes = _mm512_multishift_epi64_epi8(starts, _mm512_set1_epi64(packed));
  const Vec values = _mm512_setr_ps(0, 16, 32, 48, 64, 80, 96, 112, -0.0F, -16, -32, -48, -64, -80, -96, -112);
  return _mm512_permutexvar_ps(codes, values);
}
inline Vec load_codes2(const std::byte* p) {
  std::int32_t packed = 0;
  std::memcpy(&packed, p, sizeof(packed));
  const VecI codes = _mm512_srlv_epi32(broadcast_int(packed), shift_left<1>(lane_numbers()));
  const Vec values = _mm512_setr_ps(0, 64, -0.0F, -64, 0, 64, -0.0F, -64, 0, 64, -0.0F, -64, 0, 64, -0.0F, -64);
  return _mm512_permutexvar_ps(codes, values);
}

/// rows[i] lane j becomes rows[j] lane i. Four rounds, each of which exchanges blocks of half the size.
inline void transpose(Vec (&rows)[kLanes]) {
#pragma GCC unroll 4
  for (int step = 8; step >= 1; step /= 2) {
    const VecI lanes = lane_numbers();
    const Mask upper = _mm512_test_epi32_mask(lanes, broadcast_int(step));
    // Index 16 + i of permutex2var means lane i of the second source.
    const VecI low = _mm512_mask_add_epi32(lanes, upper, lanes, broadcast_int(16 - step));
    const VecI high = _mm512_mask_add_epi32(iadd(lanes, broadcast_int(step)), upper, lanes, broadcast_int(16));
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      if ((i & step) != 0) continue;
      const Vec a = rows[i];
      const Vec b = rows[i + step];
      rows[i] = _mm512_permutex2var_ps(a, low, b);
      rows[i + step] = _mm512_permutex2var_ps(a, high, b);
    }
  }
}

} // namespace tessera::kernels::avx512
