#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/spec/data_type.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::numerics {

/// Host conversions of one 32x32 tile between floats and the bytes of FLOAT32, BFLOAT16 or a block format.
/// `in` has 32 rows of 32 values, `stride` floats apart; `tile` has tile_bytes(dtype) bytes. Round to nearest even
/// (bfloat16.hpp, block_float.hpp); FLOAT32 copies bits. Integer formats throw Unsupported.
void pack_tile(DataType dtype, const float* in, std::int64_t stride, std::byte* tile);
/// out[i * stride + j] = element (i, j), widened exactly.
void unpack_tile(DataType dtype, const std::byte* tile, float* out, std::int64_t stride);

/// How the card's packer reaches a block format: through BFLOAT8_B's own intermediate format, which rounds once more to
/// 6 mantissa bits (the default), or through bfloat16 (`bfp8_pack_precise` of a kernel).
enum class PackMode { Default, Precise };

/// What the card's packer writes for a tile of Dst (row-major): to BFLOAT16, FLOAT32 or a block format. Dst holds
/// bfloat16 patterns (16-bit Dst) or floats (fp32_dest_acc_en). `mode` matters for block formats only.
void device_pack_tile(std::span<const std::uint16_t, kTileElements> dst, DataType dtype, PackMode mode,
                      std::byte* tile);
void device_pack_tile(std::span<const float, kTileElements> dst, DataType dtype, PackMode mode, std::byte* tile);

/// What the card's unpacker puts into a source register (row-major bfloat16 patterns) for a BFLOAT16, FLOAT32 or block
/// format tile. FLOAT32 is truncated, its denormals become signed zeros.
void device_unpack_tile(DataType dtype, const std::byte* tile, std::span<std::uint16_t, kTileElements> src);

} // namespace tessera::numerics
