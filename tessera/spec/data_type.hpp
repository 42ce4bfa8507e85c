#pragma once

#include <cstdint>
#include <string_view>

#include "tessera/spec/tile.hpp"

namespace tessera {

/// What an element is, in TT-NN's names. The `_B` formats are block floating point: 16 neighbours of a tile's face row
/// share one 8-bit exponent; they exist in tile layout only.
enum class DataType { FLOAT32, BFLOAT16, BFLOAT8_B, BFLOAT4_B, BFLOAT2_B, UINT32, INT32 };

/// TT-NN's spelling: "BFLOAT8_B".
std::string_view to_string(DataType dtype);
/// Inverse of to_string; also takes the short names f32, bf16, bfp8, bfp4, bfp2. Throws InvalidArgument naming the
/// known ones.
DataType parse_data_type(std::string_view name);

constexpr bool is_block_float(DataType dtype) {
  return dtype == DataType::BFLOAT8_B || dtype == DataType::BFLOAT4_B || dtype == DataType::BFLOAT2_B;
}
constexpr bool is_integer(DataType dtype) {
  return dtype == DataType::UINT32 || dtype == DataType::INT32;
}

/// Bits of one element's own data, without a block format's share of the exponent.
constexpr int element_bits(DataType dtype) {
  switch (dtype) {
    case DataType::BFLOAT16:
      return 16;
    case DataType::BFLOAT8_B:
      return 8;
    case DataType::BFLOAT4_B:
      return 4;
    case DataType::BFLOAT2_B:
      return 2;
    default:
      return 32;
  }
}

/// Bytes of one 32x32 tile: 4096 FLOAT32, 2048 BFLOAT16, 1088 BFLOAT8_B, 576 BFLOAT4_B, 320 BFLOAT2_B.
constexpr std::int64_t tile_bytes(DataType dtype) {
  const std::int64_t exponents = is_block_float(dtype) ? kTileElements / kFaceWidth : 0;
  return exponents + kTileElements * element_bits(dtype) / 8;
}

} // namespace tessera
