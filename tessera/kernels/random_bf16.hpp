#pragma once

#include <cstdint>

// The constants of random_bf16, the same for every instruction set. Private to this folder.

namespace tessera::kernels {

// An odd step between neighbours, and the multipliers of a 32-bit mixing function with little bias ("Hash Prospector",
// Christopher Wellons).
inline constexpr std::int32_t kRandomStep = static_cast<std::int32_t>(0x9E3779B9);
inline constexpr std::int32_t kRandomFirst = 0x21F0AAAD;
inline constexpr std::int32_t kRandomSecond = static_cast<std::int32_t>(0xD35A2D97);
/// Four bytes of 0 to 255, evenly distributed, add up to this on average,
inline constexpr std::int32_t kRandomMean = 510;
/// with the standard deviation sqrt(4 * (256^2 - 1) / 12).
inline constexpr float kRandomScale = 0.02F / 147.8F;

} // namespace tessera::kernels
