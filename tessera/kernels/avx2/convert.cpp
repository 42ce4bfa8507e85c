#include "tessera/kernels/avx2/vec.hpp"
#include "tessera/kernels/isa.hpp"
#include "tessera/kernels/random_bf16.hpp"

namespace tessera::kernels::avx2 {
namespace {

// The vector of 16-bit words that generic/convert.inl is written on.
constexpr std::int64_t kWords = 16;
using Words = __m256i;

inline Words broadcast_word(int value) {
  return _mm256_set1_epi16(static_cast<short>(value));
}
inline Words load_words(const std::byte* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
/// Past the caches; to an address that is a multiple of the vector's size.
inline void stream_words(std::byte* p, Words v) {
  _mm256_stream_si256(reinterpret_cast<__m256i*>(p), v);
}
inline void store_lane(std::byte* p, Words v, int lane) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   lane == 0 ? _mm256_castsi256_si128(v) : _mm256_extracti128_si256(v, 1));
}
/// The low bytes of 16 words.
inline void store_exponents(std::byte* p, Words v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm_packus_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)));
}
inline Words word_and(Words a, Words b) {
  return _mm256_and_si256(a, b);
}
inline Words word_or(Words a, Words b) {
  return _mm256_or_si256(a, b);
}
inline Words word_max(Words a, Words b) {
  return _mm256_max_epu16(a, b);
}
inline Words word_sub(Words a, Words b) {
  return _mm256_sub_epi16(a, b);
}
inline Words add_saturated(Words a, Words b) {
  return _mm256_adds_epu16(a, b);
}
inline Words sub_saturated(Words a, Words b) {
  return _mm256_subs_epu16(a, b);
}
template <int N>
inline Words word_shift_left(Words v) {
  return _mm256_slli_epi16(v, N);
}
inline Words word_shift_left(Words v, int count) {
  return _mm256_slli_epi16(v, count);
}
template <int N>
inline Words word_shift_right(Words v) {
  return _mm256_srli_epi16(v, N);
}
inline Words unpack_low(Words a, Words b) {
  return _mm256_unpacklo_epi16(a, b);
}
inline Words unpack_high(Words a, Words b) {
  return _mm256_unpackhi_epi16(a, b);
}
inline Words select_nonzero(Words test, Words yes, Words no) {
  return _mm256_blendv_epi8(yes, no, _mm256_cmpeq_epi16(test, _mm256_setzero_si256()));
}
inline Words where_nonzero(Words test, Words value) {
  return _mm256_andnot_si256(_mm256_cmpeq_epi16(test, _mm256_setzero_si256()), value);
}
/// value + addend where value is not zero.
inline Words add_where_nonzero(Words value, Words addend) {
  return _mm256_add_epi16(value, where_nonzero(value, addend));
}
inline bool any_below(Words v, int limit) {
  const Words at_least = _mm256_cmpeq_epi16(_mm256_max_epu16(v, broadcast_word(limit)), v);
  return _mm256_movemask_epi8(at_least) != -1;
}
/// Words with 8 bits on top, shifted right; below 256 for distances of 8 and more. There is no shift of words by
/// a vector: a look-up gives the power of two to multiply by.
inline Words align_significand(Words significand, Words distance) {
  const Words powers = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(static_cast<char>(128), 64, 32, 16, 8, 4, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0));
  // The set top bit makes the look-up give zero for the high byte.
  const Words index = _mm256_or_si256(_mm256_min_epu16(distance, broadcast_word(15)), broadcast_word(0x8000));
  return _mm256_mullo_epi16(_mm256_srli_epi16(significand, 7), _mm256_shuffle_epi8(powers, index));
}

} // namespace

#include "tessera/kernels/generic/formats.inl"

#include "tessera/kernels/generic/convert.inl"

} // namespace tessera::kernels::avx2
