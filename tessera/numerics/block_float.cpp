#include "tessera/numerics/block_float.hpp"

#include <algorithm>
#include <bit>

#include "tessera/numerics/bfloat16.hpp"

namespace tessera::numerics {
namespace {

constexpr std::int64_t kExponentBytes = kTileElements / kFaceWidth;

/// Widens a code to BFLOAT8_B's: sign in bit 7, magnitude below it.
std::uint8_t widen_code(DataType dtype, std::uint8_t code) {
  return static_cast<std::uint8_t>(code << (8 - element_bits(dtype)));
}

std::uint32_t exponent_field(float value) {
  return (float_bits(value) >> 23) & 0xFF;
}

std::uint8_t round_to_code(float value, std::uint32_t exponent, int bits) {
  const std::uint32_t own = exponent_field(value);
  const std::uint32_t distance = exponent - own;
  if (own == 0 || distance >= 24) return 0;
  const std::uint32_t significand = ((float_bits(value) & 0x7FFFFF) | 0x800000) >> distance;
  const int dropped = 24 - bits;
  const std::uint32_t half = std::uint32_t{1} << (dropped - 1);
  const std::uint32_t odd = (significand >> dropped) & 1;
  const std::uint32_t limit = (std::uint32_t{1} << bits) - 1;
  const std::uint32_t magnitude = std::min((significand + half - 1 + odd) >> dropped, limit);
  const std::uint32_t sign = float_bits(value) >> 31;
  return static_cast<std::uint8_t>(magnitude == 0 ? 0 : (sign << bits) | magnitude);
}

} // namespace

BlockGroup pack_group(DataType dtype, std::span<const float, kFaceWidth> values) {
  std::uint32_t exponent = 0;
  for (const float value : values) exponent = std::max(exponent, exponent_field(value));
  BlockGroup group{.exponent = static_cast<std::uint8_t>(exponent)};
  for (std::size_t i = 0; i < values.size(); ++i) {
    group.codes[i] = round_to_code(values[i], exponent, magnitude_bits(dtype));
  }
  return group;
}

float unpack_element(DataType dtype, std::uint8_t code, std::uint8_t exponent) {
  const std::uint32_t wide = widen_code(dtype, code);
  const std::uint32_t sign = wide >> 7 << 31;
  const auto magnitude = static_cast<std::uint8_t>(wide << 1);
  if (magnitude == 0) return float_from_bits(sign);
  const int shift = std::countl_zero(magnitude);
  if (shift > exponent) return 0.0F;
  const std::uint32_t fraction = (static_cast<std::uint32_t>(magnitude) << shift) & 0x7F;
  return float_from_bits(sign | static_cast<std::uint32_t>(exponent - shift) << 23 | fraction << 16);
}

BlockGroup device_pack_group(DataType dtype, std::span<const std::uint16_t, kFaceWidth> patterns) {
  std::uint32_t exponent = 0;
  for (const std::uint32_t pattern : patterns) exponent = std::max(exponent, (pattern >> 7) & 0xFF);
  BlockGroup group{.exponent = static_cast<std::uint8_t>(exponent)};
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    const std::uint32_t pattern = patterns[i];
    const std::uint32_t own = (pattern >> 7) & 0xFF;
    const std::uint32_t distance = exponent - own;
    const std::uint32_t significand = (pattern & 0x7F) | (own != 0 ? 0x80 : 0);
    const std::uint32_t rounded =
        distance >= 8 ? 0 : std::min((significand + (1U << distance)) >> (distance + 1), 127U);
    const std::uint32_t magnitude = rounded >> (7 - magnitude_bits(dtype));
    const std::uint32_t sign = pattern >> 15;
    group.codes[i] = static_cast<std::uint8_t>(magnitude == 0 ? 0 : (sign << magnitude_bits(dtype)) | magnitude);
  }
  return group;
}

std::uint16_t device_unpack_element(DataType dtype, std::uint8_t code, std::uint8_t exponent) {
  const std::uint32_t wide = widen_code(dtype, code);
  const std::uint32_t sign = wide >> 7 << 15;
  const auto magnitude = static_cast<std::uint8_t>(wide << 1);
  if (magnitude == 0) return sign != 0 ? 0xFF80 : 0;
  const int shift = std::countl_zero(magnitude);
  const std::uint32_t wrapped = static_cast<std::uint32_t>(exponent - shift) & 0xFF;
  return static_cast<std::uint16_t>(sign | wrapped << 7 | ((static_cast<std::uint32_t>(magnitude) << shift) & 0x7E));
}

BlockGroup read_group(DataType dtype, const std::byte* tile, std::int64_t index) {
  const int bits = element_bits(dtype);
  const std::byte* data = tile + kExponentBytes + index * kFaceWidth * bits / 8;
  BlockGroup group{.exponent = std::to_integer<std::uint8_t>(tile[index])};
  for (std::size_t i = 0; i < group.codes.size(); ++i) {
    const std::size_t bit = i * static_cast<std::size_t>(bits);
    const auto byte = std::to_integer<std::uint32_t>(data[bit / 8]);
    group.codes[i] = static_cast<std::uint8_t>((byte >> (bit % 8)) & ((1U << bits) - 1));
  }
  return group;
}

void write_group(DataType dtype, const BlockGroup& group, std::byte* tile, std::int64_t index) {
  const int bits = element_bits(dtype);
  std::byte* data = tile + kExponentBytes + index * kFaceWidth * bits / 8;
  tile[index] = std::byte{group.exponent};
  std::fill(data, data + kFaceWidth * bits / 8, std::byte{0});
  for (std::size_t i = 0; i < group.codes.size(); ++i) {
    const std::size_t bit = i * static_cast<std::size_t>(bits);
    data[bit / 8] |= std::byte{group.codes[i]} << (bit % 8);
  }
}

} // namespace tessera::numerics
