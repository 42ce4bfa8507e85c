#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/spec/data_type.hpp"

namespace tessera::numerics {

/// The 16 elements of one face row in a block format: sign-magnitude codes, sign on top, without a hidden bit. A code
/// with magnitude M means M * 2^(exponent - 127 - (magnitude bits - 1)).
struct BlockGroup {
  std::uint8_t exponent = 0; ///< raw, biased by 127
  std::array<std::uint8_t, kFaceWidth> codes{};

  friend bool operator==(const BlockGroup&, const BlockGroup&) = default;
};

/// Bits of a code's magnitude: 7 BFLOAT8_B, 3 BFLOAT4_B, 1 BFLOAT2_B.
constexpr int magnitude_bits(DataType dtype) {
  return element_bits(dtype) - 1;
}

/// Rounds 16 floats as TT-Metal does on the host: to nearest even after the alignment shift, which loses bits without a
/// sticky bit; saturating at the largest magnitude. Denormals and zeros give code 0; there is no negative zero.
BlockGroup pack_group(DataType dtype, std::span<const float, kFaceWidth> values);
/// The value of a code as TT-Metal widens it on the host. A negative zero gives -0; what lies below fp32's normal range
/// gives +0, or, one binade below, the fraction bits as a denormal (sic).
float unpack_element(DataType dtype, std::uint8_t code, std::uint8_t exponent);

/// Rounds 16 intermediate 16-bit patterns as the card's packer does: BFLOAT8_B with ties away from zero, the narrower
/// formats by truncating that. The conversion from Dst to the intermediate pattern is in tile_codec.hpp.
BlockGroup device_pack_group(DataType dtype, std::span<const std::uint16_t, kFaceWidth> patterns);
/// The bfloat16 pattern which the card's unpacker puts into a source register. A negative zero gives -Inf; exponents
/// wrap modulo 256.
std::uint16_t device_unpack_element(DataType dtype, std::uint8_t code, std::uint8_t exponent);

/// Reads and writes group `index` (16 * face + face row, 0 to 63) of a tile's bytes.
BlockGroup read_group(DataType dtype, const std::byte* tile, std::int64_t index);
void write_group(DataType dtype, const BlockGroup& group, std::byte* tile, std::int64_t index);

} // namespace tessera::numerics
