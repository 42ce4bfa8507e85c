// The matrix unit over whole tiles, equal bit for bit to numerics::matmul_tile.
//
// A partial product rounded to 10 fractional bits of its group's largest exponent, ties away from zero, is what one fused
// multiply-add does to an accumulator whose last place is that unit: so a group of eight costs eight of them. Ties
// cannot occur since one operand is made larger by 2^-16 of itself: a product of 12 bits grows by less than its last place.
// That needs exponents which fp32 holds with room to spare; other rows take the scalar path.

namespace {

constexpr std::int64_t kHalf = 16;          // k that one MVMUL sums
constexpr std::int64_t kGroup = 8;          // products aligned with each other
constexpr std::int32_t kLeastExponent = 72; // of operands on the fast path: no group can vanish
constexpr std::int32_t kMostExponent = 175; // and no accumulator can overflow
constexpr std::int32_t kNoExponent = -1000; // of zero: never the largest
constexpr std::int32_t kUnit16 = 1 << 13;   // the last place of terms for a 16-bit Dst
constexpr std::int32_t kCorrection[4] = {0, -5, -7, -12}; // of exponents, by phase

inline VecI exponent_field(VecI v) {
  return iand(shift_right<23>(v), broadcast_int(0xFF));
}

/// The part of an operand that a phase multiplies: its upper bits, or those below them as a number of their own.
struct Parts {
  Vec upper;
  Vec lower;
  VecI exponent; // kNoExponent for zero
};
inline Parts parts_of(VecI v, std::int32_t upper_mask, std::int32_t all_mask) {
  const VecI exponent = exponent_field(v);
  const Mask zero_value = equal(exponent, broadcast_int(0));
  const Vec upper = from_bits(iand(v, broadcast_int(upper_mask)));
  const Vec all = from_bits(iand(v, broadcast_int(all_mask)));
  const VecI none = broadcast_int(0);
  return {from_bits(select(zero_value, none, bits(upper))), from_bits(select(zero_value, none, bits(sub(all, upper)))),
          select(zero_value, broadcast_int(kNoExponent), exponent)};
}
inline bool in_range(VecI exponent) {
  const Mask low = both(greater(broadcast_int(kLeastExponent), exponent), greater(exponent, broadcast_int(0)));
  return !any(low) && !any(greater(exponent, broadcast_int(kMostExponent)));
}

/// One tile of in1, of which a vector holds kLanes columns of one k.
struct UnitColumns {
  alignas(64) float upper[32 * 32];
  alignas(64) float lower[32 * 32];
  alignas(64) std::int32_t exponent[32 * 32];
};
/// A row of in0, grown by 2^-16.
struct UnitRow {
  alignas(64) float upper[32];
  alignas(64) float lower[32];
  alignas(64) std::int32_t exponent[32];
};

inline bool split_columns(const std::uint32_t* in1, UnitColumns& columns) {
  bool good = true;
  for (std::int64_t i = 0; i < 32 * 32; i += kLanes) {
    const Parts parts = parts_of(load_bits(reinterpret_cast<const std::byte*>(in1 + i)),
                                 static_cast<std::int32_t>(0xFFF80000), static_cast<std::int32_t>(0xFFFFC000));
    store(columns.upper + i, parts.upper);
    store(columns.lower + i, parts.lower);
    store_bits(reinterpret_cast<std::byte*>(columns.exponent + i), parts.exponent);
    good = in_range(parts.exponent) && good;
  }
  return good;
}
inline bool split_row(const std::uint32_t* in0, UnitRow& row) {
  const Vec grown = broadcast(0x1p-16F);
  bool good = true;
  for (std::int64_t i = 0; i < 32; i += kLanes) {
    const Parts parts = parts_of(load_bits(reinterpret_cast<const std::byte*>(in0 + i)),
                                 static_cast<std::int32_t>(0xFFFE0000), static_cast<std::int32_t>(0xFFFFE000));
    store(row.upper + i, fma(parts.upper, grown, parts.upper));
    store(row.lower + i, fma(parts.lower, grown, parts.lower));
    store_bits(reinterpret_cast<std::byte*>(row.exponent + i), parts.exponent);
    good = in_range(parts.exponent) && good;
  }
  return good;
}

/// A signed sum in units of 2^(exponent - 127 - 23).
struct UnitTerm {
  VecI value;
  VecI exponent;
};

inline VecI half_of(VecI shift) { // 2^(shift - 1), 0 for 0
  return shift_right<1>(shift_left(broadcast_int(1), shift));
}

/// The sum of a group's products in one phase.
inline UnitTerm sum_of_group(const float* a, const float* b, VecI exponent) {
  const VecI magic = ior(shift_left<23>(iadd(exponent, broadcast_int(13))), broadcast_int(0x400000));
  Vec sum = from_bits(magic);
  for (std::int64_t k = 0; k < kGroup; ++k) sum = fma(load(a + k * 32), broadcast(b[k]), sum);
  return {shift_left<13>(isub(bits(sum), magic)), exponent};
}

template <bool kDst16>
inline VecI aligned(const UnitTerm& term, VecI exponent) {
  const VecI shift = imin(isub(exponent, term.exponent), broadcast_int(31));
  const VecI value = shift_right_arithmetic(iadd(term.value, half_of(shift)), shift);
  if constexpr (!kDst16) return value;
  return iand(iadd(value, broadcast_int(kUnit16 / 2)), broadcast_int(-kUnit16));
}

/// Section by section what numerics' add_to_dst does.
template <bool kDst16>
inline VecI add_to_dst(const UnitTerm& first, const UnitTerm& second, VecI dst, bool cancellation_fault) {
  constexpr std::int32_t kBits = kDst16 ? 8 : 24;
  const VecI zeros = broadcast_int(0);
  const VecI dst_exponent = exponent_field(dst);
  const VecI exponent = imax(imax(first.exponent, second.exponent), dst_exponent);

  const VecI shift = imin(isub(exponent, dst_exponent), broadcast_int(31));
  VecI old = ior(iand(dst, broadcast_int(0x7FFFFF)), broadcast_int(0x800000));
  old = select(equal(dst_exponent, zeros), zeros, old);
  old = shift_right(iadd(old, half_of(shift)), shift);
  if constexpr (kDst16) old = iand(iadd(old, broadcast_int(kUnit16 / 2)), broadcast_int(-kUnit16));
  const VecI dst_sign = shift_right_arithmetic<31>(dst);
  old = isub(ixor(old, dst_sign), dst_sign);
  const VecI sum = iadd(iadd(aligned<kDst16>(first, exponent), aligned<kDst16>(second, exponent)), old);

  const VecI sign = shift_right_arithmetic<31>(sum);
  const VecI magnitude = isub(ixor(sum, sign), sign);
  // The float of a number whose second bit is cleared has the exponent of its top bit.
  const VecI top = bits(to_float(iand(magnitude, ixor(shift_right<1>(magnitude), broadcast_int(-1)))));
  const VecI width = isub(shift_right<23>(top), broadcast_int(126));
  const VecI drop = imax(isub(width, broadcast_int(kBits)), zeros);
  const VecI kept = shift_right(iadd(magnitude, half_of(drop)), drop);
  const VecI scale = iadd(iadd(drop, exponent), broadcast_int(-127 - 23));
  const VecI kept_float = bits(to_float(kept)); // exact
  const VecI result_exponent = iadd(shift_right<23>(kept_float), scale);
  VecI result = iadd(kept_float, shift_left<23>(scale));
  result = select(greater(result_exponent, broadcast_int(254)), broadcast_int(0x7F800000), result);
  result = ior(result, iand(sign, broadcast_int(static_cast<std::int32_t>(0x80000000))));
  result = select(greater(broadcast_int(1), result_exponent), zeros, result);
  result = select(equal(magnitude, zeros), zeros, result);
  if constexpr (!kDst16) {
    if (cancellation_fault) {
      const VecI fault = ior(shift_left<23>(imin(iadd(exponent, broadcast_int(4)), broadcast_int(255))),
                             broadcast_int(static_cast<std::int32_t>(0x80000000)));
      result = select(equal(sum, broadcast_int(-1)), fault, result);
    }
  }
  return result;
}

template <bool kDst16>
inline void multiply_row(const MatrixUnitMode& mode, const UnitRow& row, const UnitColumns& columns,
                         std::uint32_t* dst) {
  for (std::int64_t column = 0; column < 32; column += kLanes) {
    VecI largest[4];
    for (std::int64_t group = 0; group < 4; ++group) {
      VecI exponent = broadcast_int(kNoExponent);
      for (std::int64_t k = group * kGroup; k < (group + 1) * kGroup; ++k) {
        const VecI a = load_bits(reinterpret_cast<const std::byte*>(columns.exponent + k * 32 + column));
        exponent = imax(exponent, iadd(a, broadcast_int(row.exponent[k])));
      }
      largest[group] = isub(exponent, broadcast_int(127));
    }
    VecI sum = load_bits(reinterpret_cast<const std::byte*>(dst + column));
    for (int phase = 0; phase < mode.phases; ++phase) {
      const float* const a = ((phase & 1) == 0 ? columns.upper : columns.lower) + column;
      const float* const b = (phase & 2) == 0 ? row.upper : row.lower;
      UnitTerm terms[4];
      for (std::int64_t group = 0; group < 4; ++group) {
        // Where all products are zero, any exponent of an operand's range that is no larger than the others' will do.
        const VecI exponent = imax(iadd(largest[group], broadcast_int(kCorrection[phase])), broadcast_int(1));
        terms[group] = sum_of_group(a + group * kGroup * 32, b + group * kGroup, exponent);
      }
      sum = add_to_dst<kDst16>(terms[0], terms[1], sum, mode.cancellation_fault);
      sum = add_to_dst<kDst16>(terms[2], terms[3], sum, mode.cancellation_fault);
    }
    store_bits(reinterpret_cast<std::byte*>(dst + column), sum);
  }
}

/// 11 bits, with the hidden one.
inline VecI source_significand(VecI v) {
  return ior(iand(shift_right<13>(v), broadcast_int(1023)), broadcast_int(1024));
}
inline VecI with_sign_of(VecI magnitude, VecI v) {
  const VecI sign = shift_right_arithmetic<31>(v);
  return isub(ixor(magnitude, sign), sign);
}
inline VecI load_words(const std::uint32_t* p) {
  return load_bits(reinterpret_cast<const std::byte*>(p));
}

/// One product in one phase, on its way to Dst.
inline UnitTerm product_term(VecI a, VecI b, int phase, std::int32_t correction) {
  const VecI a_bits = source_significand(a);
  const VecI b_bits = source_significand(b);
  const VecI a_part = (phase & 1) == 0 ? shift_right<6>(a_bits) : iand(shift_right<1>(a_bits), broadcast_int(31));
  const VecI b_part =
      (phase & 2) == 0 ? shift_right<4>(b_bits) : shift_left<3>(iand(b_bits, broadcast_int(15)));
  const VecI product = shift_left<13>(round_to_int(mul(to_float(a_part), to_float(b_part)))); // exact
  const VecI zeros = broadcast_int(0);
  const VecI a_exponent = exponent_field(a);
  const VecI b_exponent = exponent_field(b);
  VecI exponent = iadd(iadd(a_exponent, b_exponent), broadcast_int(correction - 127));
  exponent = select(equal(a_exponent, zeros), zeros, select(equal(b_exponent, zeros), zeros, imax(exponent, zeros)));
  return {select(equal(exponent, zeros), zeros, with_sign_of(product, ixor(a, b))), exponent};
}

/// a + b aligned at 10 fractional bits of the larger one.
inline UnitTerm sum_term(VecI a, VecI b) {
  const VecI zeros = broadcast_int(0);
  const VecI magnitudes = broadcast_int(0x7FFFFFFF);
  const Mask swapped = greater(iand(b, magnitudes), iand(a, magnitudes));
  const VecI larger = select(swapped, b, a);
  const VecI smaller = select(swapped, a, b);
  const VecI exponent = exponent_field(larger);
  const VecI smaller_exponent = exponent_field(smaller);
  const VecI shift = imin(isub(exponent, smaller_exponent), broadcast_int(31));
  const VecI kept = shift_right(iadd(source_significand(smaller), half_of(shift)), shift);
  const VecI first = with_sign_of(source_significand(larger), larger);
  const VecI second = with_sign_of(kept, smaller);
  const VecI sum = iadd(select(equal(exponent, zeros), zeros, first),
                        select(equal(smaller_exponent, zeros), zeros, second));
  return {shift_left<13>(sum), exponent};
}

template <bool kDst16>
inline void multiply_elements(const MatrixUnitMode& mode, const std::uint32_t* a, const std::uint32_t* b,
                              std::int64_t count, std::uint32_t* dst) {
  const UnitTerm nothing{broadcast_int(0), broadcast_int(0)};
  for (std::int64_t i = 0; i < count; i += kLanes) {
    VecI sum = load_words(dst + i);
    for (int phase = 0; phase < mode.phases; ++phase) {
      const UnitTerm term = product_term(load_words(a + i), load_words(b + i), phase, kCorrection[phase]);
      sum = add_to_dst<kDst16>(term, nothing, sum, mode.cancellation_fault);
    }
    store_bits(reinterpret_cast<std::byte*>(dst + i), sum);
  }
}

template <bool kDst16>
inline void add_elements(const MatrixUnitMode& mode, const std::uint32_t* a, const std::uint32_t* b,
                         std::uint32_t b_signs, std::int64_t count, std::uint32_t* dst) {
  const UnitTerm nothing{broadcast_int(0), broadcast_int(0)};
  const VecI signs = broadcast_int(static_cast<std::int32_t>(b_signs));
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const UnitTerm term = sum_term(load_words(a + i), ixor(load_words(b + i), signs));
    store_bits(reinterpret_cast<std::byte*>(dst + i),
               add_to_dst<kDst16>(term, nothing, broadcast_int(0), mode.cancellation_fault));
  }
}

} // namespace

void matrix_unit_tile(const MatrixUnitMode& mode, const std::uint32_t* in0, std::int64_t in0_stride, std::int64_t rows,
                      const std::uint32_t* in1, std::uint32_t* dst, std::int64_t dst_stride) noexcept {
  UnitColumns columns;
  const bool good_columns = split_columns(in1, columns);
  for (std::int64_t i = 0; i < rows; ++i) {
    UnitRow row;
    std::uint32_t* const out = dst + i * dst_stride;
    if (!split_row(in0 + i * in0_stride, row) || !good_columns)
      scalar::matrix_unit_tile(mode, in0 + i * in0_stride, in0_stride, 1, in1, out, dst_stride);
    else if (mode.dst_is_16_bit)
      multiply_row<true>(mode, row, columns, out);
    else
      multiply_row<false>(mode, row, columns, out);
  }
}

void matrix_unit_multiply(const MatrixUnitMode& mode, const std::uint32_t* a, const std::uint32_t* b,
                          std::int64_t count, std::uint32_t* dst) noexcept {
  if (mode.dst_is_16_bit)
    multiply_elements<true>(mode, a, b, count, dst);
  else
    multiply_elements<false>(mode, a, b, count, dst);
}

void matrix_unit_add(const MatrixUnitMode& mode, const std::uint32_t* a, const std::uint32_t* b, std::uint32_t b_signs,
                     std::int64_t count, std::uint32_t* dst) noexcept {
  if (mode.dst_is_16_bit)
    add_elements<true>(mode, a, b, b_signs, count, dst);
  else
    add_elements<false>(mode, a, b, b_signs, count, dst);
}
