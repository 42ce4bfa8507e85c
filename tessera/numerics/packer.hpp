#pragma once

#include <cstdint>
#include <span>

#include "tessera/numerics/matrix_unit.hpp"
#include "tessera/numerics/tile_codec.hpp"
#include "tessera/spec/data_type.hpp"

namespace tessera::numerics {

/// What stands in L1 after the card's packer has written values of Dst in a format, as fp32 patterns that the unpacker
/// gives back: for rows that are whole groups of 16. Equal to device_pack_tile followed by device_unpack_tile, or to
/// the bits of FLOAT32. out may be dst. REQUIRES: the extents are equal, and a multiple of 16.
void pack_values(DstFormat format, DataType dtype, PackMode mode, std::span<const std::uint32_t> dst,
                 std::span<std::uint32_t> out);

} // namespace tessera::numerics
