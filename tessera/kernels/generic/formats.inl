// Decoding and encoding of groups (16 neighbours of a face row) of every format. Included inside an ISA's namespace.

namespace {

inline constexpr std::int64_t kParts = kFaceWidth / kLanes; // vectors in a group
inline constexpr std::int64_t kGroups = kTileElements / kFaceWidth;
inline constexpr std::int32_t kSignBit = static_cast<std::int32_t>(0x80000000);

inline std::int64_t smaller(std::int64_t a, std::int64_t b) {
  return a < b ? a : b;
}

/// Number of the group with the element (row, 16 * half) of a tile.
inline std::int64_t group_index(std::int64_t row, std::int64_t half) {
  return row / kFaceHeight * 2 * kFaceHeight + half * kFaceHeight + row % kFaceHeight;
}

/// Where the data of part `part` of group `group` start in a tile.
template <DataType D>
inline std::int64_t data_offset(std::int64_t group, std::int64_t part) {
  constexpr std::int64_t kStart = is_block_float(D) ? kGroups : 0;
  return kStart + (group * kFaceWidth + part * kLanes) * element_bits(D) / 8;
}

/// The codes of part of a group as floats: magnitudes 0 to 127 with signs.
template <DataType D>
inline Vec load_codes(const std::byte* p) {
  if constexpr (D == DataType::BFLOAT8_B) return load_codes8(p);
  if constexpr (D == DataType::BFLOAT4_B) return load_codes4(p);
  if constexpr (D == DataType::BFLOAT2_B) return load_codes2(p);
}

/// Scales a code by 2^(exponent - 133) on its bits: right for every exponent, as numerics::unpack_element defines it.
inline Vec scale_code(Vec code, std::int32_t exponent) {
  const VecI sign = iand(bits(code), broadcast_int(kSignBit));
  const VecI magnitude = ixor(bits(code), sign);
  const VecI scaled = iadd(magnitude, broadcast_int((exponent - 133) * (1 << 23)));
  const VecI value = select(greater(broadcast_int(0), scaled), broadcast_int(0), ior(scaled, sign));
  return from_bits(select(equal(magnitude, broadcast_int(0)), sign, value));
}

/// Part of a group, widened exactly.
template <DataType D>
inline Vec decode(const std::byte* tile, std::int64_t group, std::int64_t part) {
  const std::byte* data = tile + data_offset<D>(group, part);
  if constexpr (D == DataType::FLOAT32) {
    return from_bits(load_bits(data));
  } else if constexpr (D == DataType::BFLOAT16) {
    return from_bits(shift_left<16>(load_u16(data)));
  } else {
    return scale_code(load_codes<D>(data), static_cast<std::int32_t>(tile[group]));
  }
}

/// Nearest even, NaN to 0x7FC0 (numerics::to_bfloat16), in the low 16 bits.
inline VecI round_to_bfloat16(Vec v) {
  const VecI odd = iand(shift_right<16>(bits(v)), broadcast_int(1));
  const VecI rounded = shift_right<16>(iadd(iadd(bits(v), broadcast_int(0x7FFF)), odd));
  const Mask nan = greater(iand(bits(v), broadcast_int(0x7FFFFFFF)), broadcast_int(0x7F800000));
  return select(nan, broadcast_int(0x7FC0), rounded);
}

/// One value to sign and magnitude of kBits under the group's exponent (numerics::pack_group).
template <int kBits>
inline VecI round_to_code(Vec v, std::int32_t exponent) {
  constexpr int kDropped = 24 - kBits;
  const VecI own = iand(shift_right<23>(bits(v)), broadcast_int(0xFF));
  const VecI hidden = ior(iand(bits(v), broadcast_int(0x7FFFFF)), broadcast_int(0x800000));
  const VecI significand = shift_right(hidden, isub(broadcast_int(exponent), own));
  const VecI odd = iand(shift_right<kDropped>(significand), broadcast_int(1));
  const VecI half = broadcast_int((1 << (kDropped - 1)) - 1);
  const VecI rounded = shift_right<kDropped>(iadd(iadd(significand, half), odd));
  const VecI magnitude = imin(rounded, broadcast_int((1 << kBits) - 1));
  const VecI sign = shift_left<kBits>(shift_right<31>(bits(v)));
  const VecI nothing = broadcast_int(0);
  const Mask keep = both(greater(magnitude, nothing), greater(own, nothing));
  return select(keep, ior(sign, magnitude), nothing);
}

/// Gathers 16 codes of `kBits` bits, one per byte, into kBits * 2 bytes.
template <int kBits>
inline void pack_codes(const std::byte* codes, std::byte* out) {
  constexpr std::uint64_t kMask = kBits == 4 ? 0x0F0F0F0F0F0F0F0F : 0x0303030303030303;
  std::uint64_t half[2];
  std::memcpy(half, codes, sizeof(half));
  const std::uint64_t packed = _pext_u64(half[0], kMask) | _pext_u64(half[1], kMask) << (8 * kBits);
  std::memcpy(out, &packed, 2 * kBits);
}

template <DataType D>
inline void encode(const Vec (&values)[kParts], std::byte* tile, std::int64_t group) {
  std::byte* data = tile + data_offset<D>(group, 0);
  if constexpr (D == DataType::FLOAT32) {
    for (std::int64_t part = 0; part < kParts; ++part) store_bits(data + part * kLanes * 4, bits(values[part]));
  } else if constexpr (D == DataType::BFLOAT16) {
    for (std::int64_t part = 0; part < kParts; ++part) {
      store_u16(data + part * kLanes * 2, round_to_bfloat16(values[part]));
    }
  } else {
    constexpr int kBits = element_bits(D);
    VecI most = broadcast_int(0);
    for (std::int64_t part = 0; part < kParts; ++part) {
      most = imax(most, iand(shift_right<23>(bits(values[part])), broadcast_int(0xFF)));
    }
    const std::int32_t exponent = reduce_imax(most);
    tile[group] = static_cast<std::byte>(exponent);
    std::byte codes[kFaceWidth];
    for (std::int64_t part = 0; part < kParts; ++part) {
      store_u8(codes + part * kLanes, round_to_code<kBits - 1>(values[part], exponent));
    }
    if constexpr (kBits == 8) {
      std::memcpy(data, codes, sizeof(codes));
    } else {
      pack_codes<kBits>(codes, data);
    }
  }
}

/// A data type as a type.
template <DataType D>
struct Format {
  static constexpr DataType kType = D;
  static constexpr std::int64_t kTileBytes = tile_bytes(D);
};

/// Calls `body` with the Format of `dtype`; integers have none.
template <typename Body>
inline void with_format(DataType dtype, const Body& body) {
  switch (dtype) {
    case DataType::FLOAT32:
      return body(Format<DataType::FLOAT32>{});
    case DataType::BFLOAT16:
      return body(Format<DataType::BFLOAT16>{});
    case DataType::BFLOAT8_B:
      return body(Format<DataType::BFLOAT8_B>{});
    case DataType::BFLOAT4_B:
      return body(Format<DataType::BFLOAT4_B>{});
    case DataType::BFLOAT2_B:
      return body(Format<DataType::BFLOAT2_B>{});
    default:
      return;
  }
}

} // namespace
