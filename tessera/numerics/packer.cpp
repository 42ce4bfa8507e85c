#include "tessera/numerics/packer.hpp"

#include <algorithm>
#include <array>

#include "tessera/numerics/block_float.hpp"
#include "tessera/numerics/packer_rules.hpp"

namespace tessera::numerics {
namespace {

std::uint32_t widened(std::uint16_t bfloat16) {
  return static_cast<std::uint32_t>(bfloat16) << 16;
}

/// 16-bit and 32-bit Dst values as the rules take them.
std::uint16_t narrow(std::uint32_t value) {
  return static_cast<std::uint16_t>(value >> 16);
}

template <bool kDst16>
void pack_group_values(DataType dtype, PackMode mode, const std::uint32_t* dst, std::uint32_t* out) {
  using namespace packer_rules;
  std::array<std::uint16_t, kFaceWidth> patterns;
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    if constexpr (kDst16)
      patterns[i] = intermediate(narrow(dst[i]), mode);
    else
      patterns[i] = intermediate(float_from_bits(dst[i]), mode);
  }
  const BlockGroup group = device_pack_group(dtype, patterns);
  for (std::size_t i = 0; i < patterns.size(); ++i)
    out[i] = widened(device_unpack_element(dtype, group.codes[i], group.exponent));
}

} // namespace

void pack_values(DstFormat format, DataType dtype, PackMode mode, std::span<const std::uint32_t> dst,
                 std::span<std::uint32_t> out) {
  using namespace packer_rules;
  const bool dst_is_16_bit = format == DstFormat::BFLOAT16;
  if (dtype == DataType::FLOAT32 && !dst_is_16_bit) {
    if (out.data() != dst.data()) std::ranges::copy(dst, out.begin());
  } else if (!is_block_float(dtype)) { // a 16-bit Dst loses nothing in either format
    for (std::size_t i = 0; i < dst.size(); ++i) {
      const std::uint16_t value =
          dst_is_16_bit ? to_l1_bfloat16(narrow(dst[i])) : to_l1_bfloat16(float_from_bits(dst[i]));
      out[i] = widened(value);
    }
  } else {
    for (std::size_t i = 0; i < dst.size(); i += kFaceWidth) {
      if (dst_is_16_bit)
        pack_group_values<true>(dtype, mode, dst.data() + i, out.data() + i);
      else
        pack_group_values<false>(dtype, mode, dst.data() + i, out.data() + i);
    }
  }
}

} // namespace tessera::numerics
