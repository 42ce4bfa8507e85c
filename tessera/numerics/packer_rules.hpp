#pragma once

#include <cstdint>

#include "tessera/numerics/bfloat16.hpp"
#include "tessera/numerics/tile_codec.hpp"

// The card's packer, one value at a time: what it does to a value of Dst before it rounds groups to a block format.
// Private to this folder.

namespace tessera::numerics::packer_rules {

inline bool is_nan(std::uint32_t float_pattern) {
  return (float_pattern & 0x7FFFFFFF) > 0x7F800000;
}

/// The packer's first step: NaN becomes the Inf of its sign.
inline std::uint32_t nan_to_inf(std::uint32_t float_pattern) {
  return is_nan(float_pattern) ? (float_pattern & 0x80000000) | 0x7F800000 : float_pattern;
}

/// Zeros and denormals become +0.
inline std::uint16_t flush(std::uint32_t pattern) {
  return (pattern & 0x7F80) == 0 ? 0 : static_cast<std::uint16_t>(pattern);
}

/// Drops the last of 7 mantissa bits, ties away from zero; a carry goes into the exponent.
inline std::uint32_t round_to_6_bits(std::uint32_t pattern) {
  return (pattern + 1) & 0xFFFE;
}

/// Dst to the 16-bit pattern that enters the block format's rounding.
inline std::uint16_t intermediate(std::uint16_t dst, PackMode mode) {
  const std::uint16_t clean = flush(nan_to_inf(static_cast<std::uint32_t>(dst) << 16) >> 16);
  return mode == PackMode::Default ? static_cast<std::uint16_t>(round_to_6_bits(clean)) : clean;
}
inline std::uint16_t intermediate(float dst, PackMode mode) {
  if (mode == PackMode::Precise) return flush(float_bits(dst) >> 16);
  return flush(round_to_6_bits(nan_to_inf(float_bits(dst)) >> 16));
}

inline std::uint16_t to_l1_bfloat16(std::uint16_t dst) {
  return flush(nan_to_inf(static_cast<std::uint32_t>(dst) << 16) >> 16);
}
inline std::uint16_t to_l1_bfloat16(float dst) {
  return flush((nan_to_inf(float_bits(dst)) + 0x8000) >> 16);
}

inline float to_l1_float(std::uint16_t dst) {
  return from_bfloat16(to_l1_bfloat16(dst));
}
inline float to_l1_float(float dst) {
  return dst;
}

} // namespace tessera::numerics::packer_rules
