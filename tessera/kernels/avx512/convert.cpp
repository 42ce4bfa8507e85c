#include "tessera/kernels/avx512/vec.hpp"
#include "tessera/kernels/isa.hpp"
#include "tessera/kernels/random_bf16.hpp"

namespace tessera::kernels::avx512 {
namespace {

// The vector of 16-bit words that generic/convert.inl is written on.
constexpr std::int64_t kWords = 32;
using Words = __m512i;

inline Words broadcast_word(int value) {
  return _mm512_set1_epi16(static_cast<short>(value));
}
inline Words load_words(const std::byte* p) {
  return _mm512_loadu_si512(p);
}
/// Past the caches; to an address that is a multiple of the vector's size.
inline void stream_words(std::byte* p, Words v) {
  _mm512_stream_si512(reinterpret_cast<__m512i*>(p), v);
}
inline void store_lane(std::byte* p, Words v, int lane) {
  __m128i part;
  switch (lane) {
    case 0:
      part = _mm512_castsi512_si128(v);
      break;
    case 1:
      part = _mm512_extracti32x4_epi32(v, 1);
      break;
    case 2:
      part = _mm512_extracti32x4_epi32(v, 2);
      break;
    default:
      part = _mm512_extracti32x4_epi32(v, 3);
  }
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), part);
}
/// The low bytes of 32 words: 16 for a face, 16 for the face below it, which is the next but one.
inline void store_exponents(std::byte* p, Words v) {
  const __m256i bytes = _mm512_cvtepi16_epi8(v);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(bytes));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 2 * kFaceHeight), _mm256_extracti128_si256(bytes, 1));
}
inline Words word_and(Words a, Words b) {
  return _mm512_and_si512(a, b);
}
inline Words word_or(Words a, Words b) {
  return _mm512_or_si512(a, b);
}
inline Words word_max(Words a, Words b) {
  return _mm512_max_epu16(a, b);
}
inline Words word_sub(Words a, Words b) {
  return _mm512_sub_epi16(a, b);
}
inline Words add_saturated(Words a, Words b) {
  return _mm512_adds_epu16(a, b);
}
inline Words sub_saturated(Words a, Words b) {
  return _mm512_subs_epu16(a, b);
}
template <int N>
inline Words word_shift_left(Words v) {
  return _mm512_slli_epi16(v, N);
}
inline Words word_shift_left(Words v, int count) {
  return _mm512_slli_epi16(v, static_cast<unsigned>(count));
}
template <int N>
inline Words word_shift_right(Words v) {
  return _mm512_srli_epi16(v, N);
}
inline Words unpack_low(Words a, Words b) {
  return _mm512_unpacklo_epi16(a, b);
}
inline Words unpack_high(Words a, Words b) {
  return _mm512_unpackhi_epi16(a, b);
}
inline Words select_nonzero(Words test, Words yes, Words no) {
  return _mm512_mask_blend_epi16(_mm512_test_epi16_mask(test, test), no, yes);
}
inline Words where_nonzero(Words test, Words value) {
  return _mm512_maskz_mov_epi16(_mm512_test_epi16_mask(test, test), value);
}
/// value + addend where value is not zero.
inline Words add_where_nonzero(Words value, Words addend) {
  return _mm512_mask_add_epi16(value, _mm512_test_epi16_mask(value, value), value, addend);
}
inline bool any_below(Words v, int limit) {
  return _mm512_cmplt_epu16_mask(v, broadcast_word(limit)) != 0;
}
/// Words with 8 bits on top, shifted right; below 256 for distances of 8 and more.
inline Words align_significand(Words significand, Words distance) {
  return _mm512_srlv_epi16(significand, distance);
}

} // namespace

#include "tessera/kernels/generic/formats.inl"

#include "tessera/kernels/generic/convert.inl"

} // namespace tessera::kernels::avx512
