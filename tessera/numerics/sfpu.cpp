#include "tessera/numerics/sfpu.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "tessera/numerics/bfloat16.hpp"

namespace tessera::numerics {
namespace {

constexpr std::uint32_t kSign = 0x80000000;
constexpr std::uint32_t kInfinity = 0x7F800000;

int exponent_of(std::uint32_t bits) {
  return static_cast<int>(bits >> 23 & 0xFF);
}
bool is_nan(std::uint32_t bits) {
  return (bits & 0x7FFFFFFF) > kInfinity;
}
bool is_infinite(std::uint32_t bits) {
  return (bits & 0x7FFFFFFF) == kInfinity;
}
std::uint32_t flushed(std::uint32_t bits) { // denormals to a zero of their sign
  return exponent_of(bits) == 0 ? bits & kSign : bits;
}

/// 24 bits, with the hidden one; 0 for zeros and denormals.
std::uint64_t significand(std::uint32_t bits) {
  return exponent_of(bits) == 0 ? 0 : 0x800000 | (bits & 0x7FFFFF);
}

/// What is lost leaves a sticky bit, unless everything is.
std::uint64_t shift_right_sticky(std::uint64_t value, int by) {
  if (by >= 63 || value >> by == 0) return 0;
  const std::uint64_t lost = value & ((std::uint64_t{1} << by) - 1);
  return value >> by | (lost != 0 ? 1 : 0);
}

} // namespace

namespace sfpu {

namespace {

/// magnitude * 2^(exponent - 127 - 26) as fp32, rounded to nearest even; exponents from 255 on give Inf.
std::uint32_t rounded(ArchKind arch, std::uint32_t sign, std::uint64_t magnitude, int exponent) {
  constexpr int kHidden = 26; // the 23 fraction bits and three below
  const bool wormhole = arch == ArchKind::WORMHOLE;
  const int shift = static_cast<int>(std::bit_width(magnitude)) - 1 - kHidden;
  exponent += shift;
  if (shift <= 0)
    magnitude <<= -shift;
  else // of two lost bits Wormhole forgets the upper one
    magnitude = wormhole ? magnitude >> shift | (magnitude & 1) : shift_right_sticky(magnitude, shift);
  if (exponent >= 255) return sign | kInfinity;
  if (exponent == 0 && !wormhole) magnitude = shift_right_sticky(magnitude, 1) + (1 << kHidden); // as a denormal
  std::uint64_t packed = 0;
  if (exponent >= 0) {
    packed = (static_cast<std::uint64_t>(exponent) << 23) + (magnitude >> 3) - 0x800000;
    const std::uint64_t rest = magnitude & 7;
    if (rest > 4 || (rest == 4 && (packed & 1) != 0)) ++packed;
  }
  if (packed < 0x800000) return wormhole ? 0 : sign;
  return sign | static_cast<std::uint32_t>(packed);
}

} // namespace

std::uint32_t multiply_add(ArchKind arch, std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  const bool wormhole = arch == ArchKind::WORMHOLE;
  const std::uint32_t product_sign = (a ^ b) & kSign;
  const bool infinite = is_infinite(a) || is_infinite(b);
  const bool product_nan = is_nan(a) || is_nan(b) || (infinite && (exponent_of(a) == 0 || exponent_of(b) == 0));
  int product_exponent = exponent_of(a) + exponent_of(b) - 127;
  const bool product_infinite = infinite || (wormhole && product_exponent >= 255);
  const bool nan = product_nan || is_nan(c) || (product_infinite && is_infinite(c) && product_sign != (c & kSign));
  if (nan) {
    if (!wormhole) return 0x7FC00000;
    product_exponent = std::min(product_exponent, 255);
  } else {
    if (is_infinite(c)) return c;
    if (infinite || product_exponent >= 255) return product_sign | kInfinity;
  }

  const std::uint64_t full = significand(a) * significand(b) * 8;
  const std::uint64_t product = full >> 23 | ((full & 0x7FFFFF) != 0 ? 1 : 0);
  const std::uint32_t zero = wormhole ? 0 : product_sign & c;
  std::uint32_t result = zero;
  if (product == 0 || product_exponent < 0) {
    if (exponent_of(c) == 255)
      result = kInfinity;
    else if (exponent_of(c) != 0)
      result = c;
  } else {
    const int exponent = std::max(product_exponent, exponent_of(c));
    const auto p = static_cast<std::int64_t>(shift_right_sticky(product, exponent - product_exponent));
    const auto q = static_cast<std::int64_t>(shift_right_sticky(significand(c) * 8, exponent - exponent_of(c)));
    const std::int64_t sum = (product_sign != 0 ? -p : p) + ((c & kSign) != 0 ? -q : q);
    if (sum != 0) result = rounded(arch, sum < 0 ? kSign : 0, static_cast<std::uint64_t>(std::abs(sum)), exponent);
  }
  if (!nan) return result;
  // Wormhole computes as if NaN were a number and then marks the result.
  const std::uint32_t sign = product_nan || !is_nan(c) ? product_sign : c & kSign;
  return sign | (result & ~kSign) | 0x7F800001;
}

std::uint32_t round_to_bfloat16(std::uint32_t bits) {
  if (exponent_of(bits) == 0) return 0;
  if (exponent_of(bits) == 255) return (bits & kSign) | kInfinity;
  return (bits + 0x8000) & 0xFFFF0000;
}

std::uint32_t store_bfloat16(std::uint32_t bits) {
  return flushed(bits) & 0xFFFF0000;
}

std::uint32_t store_float32(std::uint32_t bits) {
  return flushed(bits);
}

namespace {

/// The instructions by the names that kernels are written with.
std::uint32_t mad(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  return multiply_add(ArchKind::WORMHOLE, a, b, c);
}
std::uint32_t mul(std::uint32_t a, std::uint32_t b) {
  return mad(a, b, 0);
}
constexpr std::uint32_t bits(float value) {
  return float_bits(value);
}
constexpr std::uint32_t kOne = float_bits(1.0F);

/// SFPSWAP's order: of sign and magnitude.
bool less(std::uint32_t a, std::uint32_t b) {
  const auto ordered = [](std::uint32_t x) {
    const auto magnitude = static_cast<std::int64_t>(x & ~kSign);
    return (x & kSign) != 0 ? -1 - magnitude : magnitude;
  };
  return ordered(a) < ordered(b);
}

/// 2^x / log2(e) split into exponent and fraction, the latter refined by a parabola (Moroz et al., "Simple Multiple
/// Precision Algorithms for Exponential Functions"). `c0` differs between kernels.
std::uint32_t exp_unrounded(std::uint32_t x, float c0) {
  std::uint32_t scaled = mad(x, bits(1.4426950216293335F), bits(127.0F));
  if (less(scaled, 0)) scaled = 0;
  if (less(bits(255.0F), scaled)) scaled = bits(255.0F);
  const int shift = exponent_of(scaled) - 127;
  const std::uint32_t mantissa = 0x800000 | (scaled & 0x7FFFFF);
  const std::uint32_t fixed = shift >= 0 ? mantissa << shift : shift > -32 ? mantissa >> -shift : 0;
  const std::uint32_t fraction = bits(static_cast<float>(fixed & 0x7FFFFF)); // exact
  const std::uint32_t refined =
      mad(fraction, mad(fraction, bits(4.791750143340323e-15F), bits(7.839635491371155e-08F)), bits(c0));
  return (refined & 0x807FFFFF) | (fixed & kInfinity);
}

/// Of |x| in [1, 2) by a parabola and Newton's steps, without the exponent.
std::uint32_t reciprocal_of_mantissa(std::uint32_t x, int steps) {
  const std::uint32_t negative = bits(-1.0F) | (x & 0x7FFFFF);
  std::uint32_t y = mad(bits(0.32133400440216064F), negative, bits(1.4514148235321045F));
  y = mad(y, negative, bits(2.120088338851929F));
  for (int step = 0; step < steps; ++step) y = mad(y, mad(negative, y, kOne), y);
  return y;
}
std::uint32_t scale_of_reciprocal(std::uint32_t x) {
  return mul(~x & 0x7F800000, bits(0.5F)) | (x & kSign);
}
std::uint32_t with_sign_of(std::uint32_t value, std::uint32_t x) {
  return (value & ~kSign) | (x & kSign);
}

} // namespace

std::uint32_t exp_bfloat16(std::uint32_t x) {
  return store_bfloat16(round_to_bfloat16(exp_unrounded(x, 1.001953125F)));
}

std::uint32_t exp_approximate(std::uint32_t x) {
  const std::uint32_t clamped = less(x, bits(-88.5F)) ? bits(-88.5F) : x;
  const float scaled = float_from_bits(mad(clamped, bits(369.329925537109375F), bits(32500.818359375F)));
  const float rounded = std::floor(scaled + 0.5F); // to 16 unsigned bits; positive here, so ties go away from zero
  const auto integer = static_cast<std::uint32_t>(std::clamp(rounded, 0.0F, 65535.0F));
  return store_bfloat16(integer << 15);
}

std::uint32_t reciprocal_bfloat16(std::uint32_t x) {
  const std::uint32_t y = round_to_bfloat16(reciprocal_of_mantissa(x, 1));
  return store_bfloat16(with_sign_of(mul(y, scale_of_reciprocal(x)), x));
}

std::uint32_t reciprocal_float32(std::uint32_t x) {
  return store_float32(with_sign_of(mul(reciprocal_of_mantissa(x, 2), scale_of_reciprocal(x)), x));
}

std::uint32_t sqrt_bfloat16(std::uint32_t x) {
  std::uint32_t y = 0x5F1110A0 - (x >> 1);
  std::uint32_t xy = mul(x, y);
  const std::uint32_t c = mul(y ^ kSign, xy);
  y = mul(y, mad(c, mad(kOne, c, bits(2.2533049F)), bits(2.2825186F)));
  xy = mul(x, y);
  const std::uint32_t error = mad(y ^ kSign, xy, kOne);
  return store_bfloat16(round_to_bfloat16(mad(error, mul(xy, bits(0.5F)), xy)));
}

std::uint32_t gelu_approximate(std::uint32_t x) {
  struct Piece {
    float below, slope, offset;
  };
  // Of |x|; slopes and offsets as fp16 holds them.
  static constexpr Piece kPieces[] = {{0.5F, 0.1927490234375F, -0.00010442733764648438F},
                                      {1.0F, 0.493896484375F, -0.160400390625F},
                                      {1.5F, 0.61865234375F, -0.279541015625F},
                                      {2.0F, 0.60986328125F, -0.263427734375F},
                                      {3.0F, 0.5400390625F, -0.119384765625F},
                                      {INFINITY, 0.5F, 0.0F}};
  const std::uint32_t magnitude = x & ~kSign;
  const Piece* piece = kPieces;
  while (piece->below < INFINITY && magnitude >= bits(piece->below)) ++piece;
  const std::uint32_t y = mad(magnitude, bits(piece->slope), bits(piece->offset));
  return store_bfloat16(mad(x, bits(0.5F), y));
}

std::uint32_t sigmoid_bfloat16(std::uint32_t x) {
  const std::uint32_t divisor = mad(kOne, exp_unrounded(x ^ kSign, 1.0017248F), kOne);
  return store_bfloat16(round_to_bfloat16(mul(reciprocal_of_mantissa(divisor, 1), scale_of_reciprocal(divisor))));
}

std::uint32_t silu_bfloat16(std::uint32_t x) {
  const std::uint32_t divisor = mad(kOne, exp_unrounded(x ^ kSign, 1.0017248F), kOne);
  const std::uint32_t sigmoid = mul(reciprocal_of_mantissa(divisor, 1), scale_of_reciprocal(divisor));
  return store_bfloat16(round_to_bfloat16(mul(x, sigmoid)));
}

} // namespace sfpu

std::uint32_t l1_accumulate_float32(std::uint32_t old_value, std::uint32_t new_value) {
  const float sum = float_from_bits(flushed(old_value)) + float_from_bits(flushed(new_value));
  return std::isnan(sum) ? 0x7FC00000 : flushed(float_bits(sum));
}

std::uint16_t l1_accumulate_bfloat16(std::uint16_t old_value, std::uint16_t new_value) {
  constexpr std::uint16_t kInf = 0x7F80;
  const bool new_infinite = (new_value & 0x7FFF) == kInf;
  if (new_infinite && old_value == (new_value ^ 0x8000)) return 0x7FC0;
  if (new_infinite) return new_value;
  if ((old_value & kInf) == kInf) return static_cast<std::uint16_t>((old_value & 0x8000) | kInf);
  // A double holds the sum of two numbers of 8 bits exactly, or else so nearly that rounding it gives the same.
  const auto value = [](std::uint16_t bits) {
    const int exponent = bits >> 7 & 0xFF;
    if (exponent == 0) return (bits & 0x8000) != 0 ? -0.0 : 0.0;
    const double magnitude = std::ldexp(128 | (bits & 0x7F), exponent - 127 - 7);
    return (bits & 0x8000) != 0 ? -magnitude : magnitude;
  };
  const double sum = value(old_value) + value(new_value);
  const auto sign = static_cast<std::uint16_t>(std::signbit(sum) ? 0x8000 : 0);
  int exponent = 0;
  std::frexp(sum, &exponent); // |sum| in [2^(exponent - 1), 2^exponent)
  const double rounded = std::nearbyint(std::ldexp(std::abs(sum), 8 - exponent)); // 8 bits, or 256
  if (rounded == 0.0) return sign;
  auto significand = static_cast<int>(rounded);
  if (significand == 256) {
    significand = 128;
    ++exponent;
  }
  const int raw = exponent - 1 + 127;
  if (raw <= 0) return sign;
  if (raw >= 255) return sign | kInf;
  return static_cast<std::uint16_t>(sign | raw << 7 | (significand & 0x7F));
}

} // namespace tessera::numerics
