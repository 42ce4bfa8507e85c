#pragma once

#include <bit>
#include <cstdint>

namespace tessera::numerics {

/// The bits of a float.
constexpr std::uint32_t float_bits(float value) {
  return std::bit_cast<std::uint32_t>(value);
}
constexpr float float_from_bits(std::uint32_t bits) {
  return std::bit_cast<float>(bits);
}

/// Bits of the bfloat16 nearest to `value`, ties to even. Overflow rounds to Inf, denormals are kept, any NaN becomes
/// 0x7FC0: TT-Metal's conversion on the host.
constexpr std::uint16_t to_bfloat16(float value) {
  const std::uint32_t bits = float_bits(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return 0x7FC0;
  return static_cast<std::uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

/// The value of a bfloat16 pattern; exact.
constexpr float from_bfloat16(std::uint16_t bits) {
  return float_from_bits(static_cast<std::uint32_t>(bits) << 16);
}

} // namespace tessera::numerics
