#include "tessera/numerics/tile_codec.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "tessera/base/error.hpp"
#include "tessera/numerics/bfloat16.hpp"
#include "tessera/numerics/block_float.hpp"
#include "tessera/numerics/packer_rules.hpp"

namespace tessera::numerics {
namespace {

constexpr std::int64_t kGroups = kTileElements / kFaceWidth;

/// Row-major place of the first element of group `index` within a matrix of `stride` elements per row.
std::int64_t group_offset(std::int64_t index, std::int64_t stride) {
  const std::int64_t face = index / kFaceHeight;
  const std::int64_t row = face / 2 * kFaceHeight + index % kFaceHeight;
  return row * stride + face % 2 * kFaceWidth;
}

template <typename T>
T read_element(const std::byte* tile, std::int64_t element) {
  T value;
  std::memcpy(&value, tile + element * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
  return value;
}

template <typename T>
void write_element(std::byte* tile, std::int64_t element, T value) {
  std::memcpy(tile + element * static_cast<std::int64_t>(sizeof(T)), &value, sizeof(T));
}

void require_float_format(DataType dtype) {
  base::require<base::Unsupported>(!is_integer(dtype),
                                   "[tile_codec] a floating-point format is required; received {}; move integers as "
                                   "bytes",
                                   to_string(dtype));
}

template <typename Dst>
void device_pack(std::span<const Dst, kTileElements> dst, DataType dtype, PackMode mode, std::byte* tile) {
  using namespace packer_rules;
  require_float_format(dtype);
  for (std::int64_t g = 0; g < kGroups; ++g) {
    const Dst* in = dst.data() + group_offset(g, kTileWidth);
    std::array<std::uint16_t, kFaceWidth> patterns{};
    for (std::int64_t i = 0; i < kFaceWidth; ++i) {
      const std::int64_t element = g * kFaceWidth + i;
      if (dtype == DataType::FLOAT32) {
        write_element(tile, element, to_l1_float(in[i]));
      } else if (dtype == DataType::BFLOAT16) {
        write_element(tile, element, to_l1_bfloat16(in[i]));
      } else {
        patterns[static_cast<std::size_t>(i)] = intermediate(in[i], mode);
      }
    }
    if (is_block_float(dtype)) write_group(dtype, device_pack_group(dtype, patterns), tile, g);
  }
}

std::uint16_t truncate_to_src(float value) {
  const std::uint32_t pattern = float_bits(value) >> 16;
  return static_cast<std::uint16_t>((pattern & 0x7F80) == 0 ? pattern & 0x8000 : pattern);
}

} // namespace

void pack_tile(DataType dtype, const float* in, std::int64_t stride, std::byte* tile) {
  require_float_format(dtype);
  for (std::int64_t g = 0; g < kGroups; ++g) {
    const float* values = in + group_offset(g, stride);
    if (is_block_float(dtype)) {
      write_group(dtype, pack_group(dtype, std::span<const float, kFaceWidth>(values, kFaceWidth)), tile, g);
      continue;
    }
    for (std::int64_t i = 0; i < kFaceWidth; ++i) {
      const std::int64_t element = g * kFaceWidth + i;
      if (dtype == DataType::FLOAT32) {
        write_element(tile, element, values[i]);
      } else {
        write_element(tile, element, to_bfloat16(values[i]));
      }
    }
  }
}

void unpack_tile(DataType dtype, const std::byte* tile, float* out, std::int64_t stride) {
  require_float_format(dtype);
  for (std::int64_t g = 0; g < kGroups; ++g) {
    float* values = out + group_offset(g, stride);
    const BlockGroup group = is_block_float(dtype) ? read_group(dtype, tile, g) : BlockGroup{};
    for (std::int64_t i = 0; i < kFaceWidth; ++i) {
      const std::int64_t element = g * kFaceWidth + i;
      if (dtype == DataType::FLOAT32) {
        values[i] = read_element<float>(tile, element);
      } else if (dtype == DataType::BFLOAT16) {
        values[i] = from_bfloat16(read_element<std::uint16_t>(tile, element));
      } else {
        values[i] = unpack_element(dtype, group.codes[static_cast<std::size_t>(i)], group.exponent);
      }
    }
  }
}

void device_pack_tile(std::span<const std::uint16_t, kTileElements> dst, DataType dtype, PackMode mode,
                      std::byte* tile) {
  device_pack(dst, dtype, mode, tile);
}
void device_pack_tile(std::span<const float, kTileElements> dst, DataType dtype, PackMode mode, std::byte* tile) {
  device_pack(dst, dtype, mode, tile);
}

void device_unpack_tile(DataType dtype, const std::byte* tile, std::span<std::uint16_t, kTileElements> src) {
  require_float_format(dtype);
  for (std::int64_t g = 0; g < kGroups; ++g) {
    std::uint16_t* values = src.data() + group_offset(g, kTileWidth);
    const BlockGroup group = is_block_float(dtype) ? read_group(dtype, tile, g) : BlockGroup{};
    for (std::int64_t i = 0; i < kFaceWidth; ++i) {
      const std::int64_t element = g * kFaceWidth + i;
      if (dtype == DataType::FLOAT32) {
        values[i] = truncate_to_src(read_element<float>(tile, element));
      } else if (dtype == DataType::BFLOAT16) {
        values[i] = read_element<std::uint16_t>(tile, element);
      } else {
        values[i] = device_unpack_element(dtype, group.codes[static_cast<std::size_t>(i)], group.exponent);
      }
    }
  }
}

} // namespace tessera::numerics
