#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tessera::kernels::avx2 {

// The vector type that generic/ is written on: 8 floats or 32-bit integers, and a mask of them.
inline constexpr std::int64_t kLanes = 8;
/// Whether pack_bf16 leaves bfloat16 values as they are, one after another.
inline constexpr bool kPacksBfloat16 = false;
using Vec = __m256;
using VecI = __m256i;
struct Mask {
  __m256i lanes; ///< all ones or all zeros
};

// Rows of the matmul's register tile. 16 registers: 6 rows of 2 sums, 2 vectors of weights, 1 of activations; 2 rows of
// 4 sums where the weights are widened in between, which needs constants.
inline constexpr int kTileRows = 6;
inline constexpr int kFusedRows = 2;

inline Vec zero() {
  return _mm256_setzero_ps();
}
inline Vec broadcast(float value) {
  return _mm256_set1_ps(value);
}
inline VecI broadcast_int(std::int32_t value) {
  return _mm256_set1_epi32(value);
}
inline VecI lane_numbers() {
  return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
}
inline Vec load(const float* p) {
  return _mm256_loadu_ps(p);
}
inline void store(float* p, Vec v) {
  _mm256_storeu_ps(p, v);
}
/// The lanes below `count`, 0 to kLanes.
inline __m256i first_lanes(std::int64_t count) {
  return _mm256_cmpgt_epi32(broadcast_int(static_cast<std::int32_t>(count)), lane_numbers());
}
inline Vec load_first(const float* p, std::int64_t count) {
  return _mm256_maskload_ps(p, first_lanes(count));
}
inline void store_first(float* p, Vec v, std::int64_t count) {
  _mm256_maskstore_ps(p, first_lanes(count), v);
}

inline Vec fma(Vec a, Vec b, Vec c) {
  return _mm256_fmadd_ps(a, b, c);
}
inline Vec add(Vec a, Vec b) {
  return _mm256_add_ps(a, b);
}
inline Vec sub(Vec a, Vec b) {
  return _mm256_sub_ps(a, b);
}
inline Vec mul(Vec a, Vec b) {
  return _mm256_mul_ps(a, b);
}
inline Vec div(Vec a, Vec b) {
  return _mm256_div_ps(a, b);
}
/// b where either is NaN.
inline Vec min(Vec a, Vec b) {
  return _mm256_min_ps(a, b);
}
inline Vec max(Vec a, Vec b) {
  return _mm256_max_ps(a, b);
}
inline float reduce_add(Vec v) {
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}
inline float reduce_max(Vec v) {
  __m128 most = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  most = _mm_max_ps(most, _mm_movehl_ps(most, most));
  return _mm_cvtss_f32(_mm_max_ss(most, _mm_movehdup_ps(most)));
}

/// Half of a vector's lanes in double precision.
using VecD = __m256d;
inline VecD zero_double() {
  return _mm256_setzero_pd();
}
inline VecD widen_low(Vec v) {
  return _mm256_cvtps_pd(_mm256_castps256_ps128(v));
}
inline VecD widen_high(Vec v) {
  return _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
}
inline VecD fma(VecD a, VecD b, VecD c) {
  return _mm256_fmadd_pd(a, b, c);
}
inline VecD add(VecD a, VecD b) {
  return _mm256_add_pd(a, b);
}
inline double reduce_add(VecD v) {
  const __m128d sum = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
  return _mm_cvtsd_f64(_mm_add_sd(sum, _mm_unpackhi_pd(sum, sum)));
}

/// Exchanges neighbours: lanes 1, 0, 3, 2, ...
inline Vec swap_pairs(Vec v) {
  return _mm256_permute_ps(v, 0xB1);
}

inline VecI bits(Vec v) {
  return _mm256_castps_si256(v);
}
inline Vec from_bits(VecI v) {
  return _mm256_castsi256_ps(v);
}
inline Vec negate(Vec v) {
  return _mm256_xor_ps(v, broadcast(-0.0F));
}
/// To the nearest integer, ties to even.
inline VecI round_to_int(Vec v) {
  return _mm256_cvtps_epi32(v);
}
inline Vec to_float(VecI v) {
  return _mm256_cvtepi32_ps(v);
}
inline VecI iadd(VecI a, VecI b) {
  return _mm256_add_epi32(a, b);
}
inline VecI isub(VecI a, VecI b) {
  return _mm256_sub_epi32(a, b);
}
/// The low 32 bits of the product.
inline VecI imul(VecI a, VecI b) {
  return _mm256_mullo_epi32(a, b);
}
inline VecI iand(VecI a, VecI b) {
  return _mm256_and_si256(a, b);
}
inline VecI ior(VecI a, VecI b) {
  return _mm256_or_si256(a, b);
}
inline VecI ixor(VecI a, VecI b) {
  return _mm256_xor_si256(a, b);
}
inline VecI imin(VecI a, VecI b) {
  return _mm256_min_epi32(a, b);
}
inline VecI imax(VecI a, VecI b) {
  return _mm256_max_epi32(a, b);
}
inline std::int32_t reduce_imax(VecI v) {
  __m128i most = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0x4E));
  return _mm_cvtsi128_si32(_mm_max_epi32(most, _mm_shuffle_epi32(most, 0xB1)));
}
template <int N>
inline VecI shift_left(VecI v) {
  return _mm256_slli_epi32(v, N);
}
template <int N>
inline VecI shift_right(VecI v) {
  return _mm256_srli_epi32(v, N);
}
template <int N>
inline VecI shift_right_arithmetic(VecI v) {
  return _mm256_srai_epi32(v, N);
}
/// Lane by lane; 32 and more give 0.
inline VecI shift_left(VecI v, VecI count) {
  return _mm256_sllv_epi32(v, count);
}
/// Lane by lane; 32 and more give copies of the sign.
inline VecI shift_right_arithmetic(VecI v, VecI count) {
  return _mm256_srav_epi32(v, count);
}
/// Logical, lane by lane; 32 and more give 0.
inline VecI shift_right(VecI v, VecI count) {
  return _mm256_srlv_epi32(v, count);
}

inline Mask equal(VecI a, VecI b) {
  return {_mm256_cmpeq_epi32(a, b)};
}
inline Mask greater(VecI a, VecI b) {
  return {_mm256_cmpgt_epi32(a, b)};
}
inline Mask both(Mask a, Mask b) {
  return {iand(a.lanes, b.lanes)};
}
inline bool any(Mask m) {
  return _mm256_movemask_epi8(m.lanes) != 0;
}
inline VecI select(Mask m, VecI yes, VecI no) {
  return _mm256_blendv_epi8(no, yes, m.lanes);
}

/// Asks for a cache line into the level 2 cache; any address is allowed.
inline void prefetch(const std::byte* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1);
}
inline VecI load_bits(const std::byte* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline void store_bits(std::byte* p, VecI v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
}
inline VecI load_u8(const std::byte* p) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
inline VecI load_u16(const std::byte* p) {
  return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
/// The low 16 bits, or the low byte, of every lane. REQUIRES: the other bits are 0 (the packs saturate).
inline __m128i narrow_u16(VecI v) {
  return _mm_packus_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}
inline void store_u16(std::byte* p, VecI v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow_u16(v));
}
inline void store_u8(std::byte* p, VecI v) {
  const __m128i words = narrow_u16(v);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
}

/// `v` with the sign bits of `signs`.
inline Vec with_signs(Vec v, VecI signs) {
  return from_bits(ior(bits(v), iand(signs, broadcast_int(static_cast<std::int32_t>(0x80000000)))));
}
/// kLanes block-float codes as floats: sign and magnitude, the magnitude in BFLOAT8_B's units (0 to 127).
inline Vec load_codes8(const std::byte* p) {
  const VecI codes = load_u8(p);
  return with_signs(to_float(iand(codes, broadcast_int(0x7F))), shift_left<24>(codes));
}
inline Vec load_codes4(const std::byte* p) {
  std::int32_t packed = 0;
  std::memcpy(&packed, p, sizeof(packed));
  const VecI all = broadcast_int(packed);
  const VecI codes = _mm256_srlv_epi32(all, shift_left<2>(lane_numbers()));
  const VecI signs = _mm256_sllv_epi32(all, isub(broadcast_int(28), shift_left<2>(lane_numbers())));
  // The look-up ignores all but the lowest 3 bits.
  return with_signs(_mm256_permutevar8x32_ps(_mm256_setr_ps(0, 16, 32, 48, 64, 80, 96, 112), codes), signs);
}
inline Vec load_codes2(const std::byte* p) {
  std::uint16_t packed = 0;
  std::memcpy(&packed, p, sizeof(packed));
  const VecI all = broadcast_int(packed);
  const VecI codes = _mm256_srlv_epi32(all, shift_left<1>(lane_numbers()));
  return with_signs(_mm256_permutevar8x32_ps(_mm256_setr_ps(0, 64, 0, 64, 0, 64, 0, 64), codes), shift_left<30>(codes));
}

/// rows[i] lane j becomes rows[j] lane i: pairs of floats, then pairs of pairs, then halves.
inline void transpose(Vec (&rows)[kLanes]) {
  Vec pairs[kLanes];
  Vec quads[kLanes];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    quads[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
    quads[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xEE);
    quads[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
    quads[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xEE);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    rows[i] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x20);
    rows[i + 4] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x31);
  }
}

/// Denormals are zero, in operands and in sums, as long as this lives: the arithmetic of bfloat16 products
/// (kernels.hpp).
class MultiplyMode {
 public:
  MultiplyMode() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
  ~MultiplyMode() { _mm_setcsr(before_); }
  MultiplyMode(const MultiplyMode&) = delete;
  MultiplyMode& operator=(const MultiplyMode&) = delete;

 private:
  unsigned before_;
};

} // namespace tessera::kernels::avx2
