#pragma once

#include <cstdint>

namespace tessera::numerics {

/// Generations whose vector units differ in the details below.
enum class ArchKind { WORMHOLE, BLACKHOLE };

/// The vector unit (SFPU): 32 lanes of fp32, each computed on its own. What its instructions do to one lane, bit for
/// bit as the vendor's functional simulator computes it; values are fp32 patterns. Denormals count as zero.
namespace sfpu {

/// SFPMAD: a * b + c, partly fused: the product keeps 27 bits and a sticky bit. Also add (1 * b + c) and multiply
/// (a * b + 0), which are then rounded as IEEE asks.
std::uint32_t multiply_add(ArchKind arch, std::uint32_t a, std::uint32_t b, std::uint32_t c);

/// SFPSTOCHRND to 16-bit floats, nearest: ties away from zero, denormals to +0, NaN to Inf.
std::uint32_t round_to_bfloat16(std::uint32_t bits);
/// SFPSTORE: truncates to a 16-bit Dst, copies to a 32-bit one; denormals become zeros of their sign.
std::uint32_t store_bfloat16(std::uint32_t bits);
std::uint32_t store_float32(std::uint32_t bits);

} // namespace sfpu

/// Functions as tt-metal's Wormhole kernels of 2026 compose them from those instructions, of one value in a Dst of 16
/// bits and stored there. They change between releases: docs/numerics.md says which these are. All are meant for finite
/// normal inputs.
namespace sfpu {

std::uint32_t exp_bfloat16(std::uint32_t x);        ///< exp, 0.91 bfloat16 ulp at most
std::uint32_t exp_approximate(std::uint32_t x);     ///< Schraudolph's, 6.1 ulp
std::uint32_t reciprocal_bfloat16(std::uint32_t x); ///< correctly rounded
std::uint32_t reciprocal_float32(std::uint32_t x);  ///< for a 32-bit Dst, below 1 fp32 ulp
std::uint32_t sqrt_bfloat16(std::uint32_t x);       ///< x > 0
std::uint32_t gelu_approximate(std::uint32_t x);    ///< six linear pieces
std::uint32_t sigmoid_bfloat16(std::uint32_t x);
std::uint32_t silu_bfloat16(std::uint32_t x);

} // namespace sfpu

/// What the packer writes when it accumulates into L1 (packer_l1_acc): the old value + the new one. fp32: IEEE but that
/// denormals are zero and any NaN is 0x7FC00000. BFLOAT16: rounded once to nearest even; an old
/// NaN counts as Inf, a new one as a large number.
std::uint32_t l1_accumulate_float32(std::uint32_t old_value, std::uint32_t new_value);
std::uint16_t l1_accumulate_bfloat16(std::uint16_t old_value, std::uint16_t new_value);

} // namespace tessera::numerics
