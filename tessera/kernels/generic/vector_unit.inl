// The vector unit over many values, equal bit for bit to numerics::sfpu and numerics::apply.
//
// Significands of 24 bits are multiplied in three steps of 8, so that all fits 32-bit lanes. Lanes that hold Inf or NaN
// take the scalar path.

namespace {

constexpr std::int32_t kSignBit = static_cast<std::int32_t>(0x80000000);
constexpr std::int32_t kInfinityBits = 0x7F800000;

inline VecI words(float value) {
  return bits(broadcast(value));
}
inline VecI zero_words() {
  return broadcast_int(0);
}
inline VecI exponents_of(VecI v) {
  return iand(shift_right<23>(v), broadcast_int(0xFF));
}
inline VecI signs_of(VecI v) {
  return iand(v, broadcast_int(kSignBit));
}
inline Mask is_zero(VecI v) {
  return equal(v, zero_words());
}
/// 24 bits, with the hidden one; 0 for zeros and denormals.
inline VecI significands_of(VecI v) {
  return select(is_zero(exponents_of(v)), zero_words(), ior(iand(v, broadcast_int(0x7FFFFF)), broadcast_int(0x800000)));
}
/// What is lost leaves a sticky bit, unless everything is.
inline VecI shift_right_sticky(VecI v, VecI count) {
  const VecI kept = shift_right(v, count);
  const VecI lost = isub(v, shift_left(kept, count));
  const VecI sticky = select(is_zero(lost), zero_words(), broadcast_int(1));
  return select(is_zero(kept), zero_words(), ior(kept, sticky));
}

/// The product of significands with 27 or 28 bits, of which the last is sticky.
inline VecI product_of(VecI a, VecI b) {
  const VecI byte = broadcast_int(0xFF);
  const VecI low = imul(a, iand(b, byte));
  const VecI middle = iadd(imul(a, iand(shift_right<8>(b), byte)), shift_right<8>(low));
  const VecI high = iadd(imul(a, shift_right<16>(b)), shift_right<8>(middle));
  const VecI lost = ior(ior(iand(high, broadcast_int(15)), iand(middle, byte)), iand(low, byte));
  return ior(shift_right<4>(high), select(is_zero(lost), zero_words(), broadcast_int(1)));
}

/// magnitude * 2^(exponent - 127 - 26) rounded to nearest even, with a sign.
template <bool kWormhole>
inline VecI round_sum(VecI sign, VecI magnitude, VecI exponent) {
  const VecI zeros = zero_words();
  // The float of a number whose second bit is cleared has the exponent of its top bit.
  const VecI top = bits(to_float(iand(magnitude, ixor(shift_right<1>(magnitude), broadcast_int(-1)))));
  const VecI shift = isub(shift_right<23>(top), broadcast_int(126 + 27));
  exponent = iadd(exponent, shift);
  const VecI right = imax(shift, zeros);
  VecI shifted;
  if constexpr (kWormhole) // of two lost bits it forgets the upper one
    shifted = select(is_zero(right), magnitude,
                     ior(shift_right(magnitude, right), iand(magnitude, broadcast_int(1))));
  else
    shifted = shift_right_sticky(magnitude, right);
  shifted = shift_left(shifted, imax(isub(zeros, shift), zeros));
  if constexpr (!kWormhole) {
    const VecI denormal = iadd(shift_right_sticky(shifted, broadcast_int(1)), broadcast_int(1 << 26));
    shifted = select(is_zero(exponent), denormal, shifted);
  }
  VecI packed = isub(iadd(shift_left<23>(exponent), shift_right<3>(shifted)), broadcast_int(0x800000));
  const VecI rest = iand(shifted, broadcast_int(7));
  const VecI odd = iand(packed, broadcast_int(1));
  packed = iadd(packed, select(greater(iadd(rest, odd), broadcast_int(4)), broadcast_int(1), zeros));
  packed = select(greater(zeros, exponent), zeros, packed);
  VecI result = ior(sign, packed);
  result = select(greater(broadcast_int(0x800000), packed), kWormhole ? zeros : sign, result);
  return select(greater(exponent, broadcast_int(254)), ior(sign, broadcast_int(kInfinityBits)), result);
}

/// SFPMAD of numbers that are neither Inf nor NaN.
template <bool kWormhole>
inline VecI finite_multiply_add(VecI a, VecI b, VecI c) {
  const VecI zeros = zero_words();
  const VecI product_sign = signs_of(ixor(a, b));
  const VecI c_exponent = exponents_of(c);
  const VecI product_exponent = isub(iadd(exponents_of(a), exponents_of(b)), broadcast_int(127));
  const VecI product = product_of(significands_of(a), significands_of(b));
  const VecI exponent = imax(product_exponent, c_exponent);
  const VecI p = shift_right_sticky(product, isub(exponent, product_exponent));
  const VecI q = shift_right_sticky(shift_left<3>(significands_of(c)), isub(exponent, c_exponent));
  const VecI p_sign = shift_right_arithmetic<31>(product_sign);
  const VecI q_sign = shift_right_arithmetic<31>(c);
  const VecI sum = iadd(isub(ixor(p, p_sign), p_sign), isub(ixor(q, q_sign), q_sign));
  const VecI sum_sign = shift_right_arithmetic<31>(sum);
  const VecI magnitude = isub(ixor(sum, sum_sign), sum_sign);
  const VecI nothing = kWormhole ? zeros : signs_of(iand(product_sign, c));

  VecI result = round_sum<kWormhole>(signs_of(sum), magnitude, exponent);
  result = select(is_zero(sum), nothing, result);
  const VecI without_product = select(is_zero(c_exponent), nothing, c);
  result = select(is_zero(product), without_product, result);
  result = select(greater(zeros, product_exponent), without_product, result);
  return select(greater(product_exponent, broadcast_int(254)), ior(product_sign, broadcast_int(kInfinityBits)), result);
}

template <bool kWormhole>
inline VecI multiply_add(VecI a, VecI b, VecI c) {
  const VecI all = broadcast_int(0xFF);
  const VecI largest = imax(imax(exponents_of(a), exponents_of(b)), exponents_of(c));
  if (!any(equal(largest, all))) return finite_multiply_add<kWormhole>(a, b, c);
  alignas(64) std::uint32_t lanes[4][kLanes];
  store_bits(reinterpret_cast<std::byte*>(lanes[0]), a);
  store_bits(reinterpret_cast<std::byte*>(lanes[1]), b);
  store_bits(reinterpret_cast<std::byte*>(lanes[2]), c);
  scalar::vector_unit_multiply_add(kWormhole, lanes[0], lanes[1], lanes[2], kLanes, lanes[3]);
  return load_bits(reinterpret_cast<const std::byte*>(lanes[3]));
}

// The functions as tt-metal's Wormhole kernels compose them; compare tessera/numerics/sfpu.cpp, line by line.

inline VecI mad(VecI a, VecI b, VecI c) {
  return multiply_add<true>(a, b, c);
}
inline VecI product(VecI a, VecI b) {
  return mad(a, b, zero_words());
}
inline VecI round_words(VecI v) {
  const VecI exponent = exponents_of(v);
  VecI result = iand(iadd(v, broadcast_int(0x8000)), broadcast_int(static_cast<std::int32_t>(0xFFFF0000)));
  result = select(equal(exponent, broadcast_int(0xFF)), ior(signs_of(v), broadcast_int(kInfinityBits)), result);
  return select(is_zero(exponent), zero_words(), result);
}
template <bool kDst16>
inline VecI stored(VecI v) {
  const VecI flushed = select(is_zero(exponents_of(v)), signs_of(v), v);
  return kDst16 ? iand(flushed, broadcast_int(static_cast<std::int32_t>(0xFFFF0000))) : flushed;
}

inline VecI exp_unrounded(VecI x, float c0) {
  const VecI zeros = zero_words();
  VecI scaled = mad(x, words(1.4426950216293335F), words(127.0F));
  scaled = select(greater(zeros, scaled), zeros, scaled);
  scaled = imin(scaled, words(255.0F));
  const VecI shift = isub(exponents_of(scaled), broadcast_int(127));
  const VecI mantissa = ior(iand(scaled, broadcast_int(0x7FFFFF)), broadcast_int(0x800000));
  const VecI fixed = shift_right(shift_left(mantissa, imax(shift, zeros)), imax(isub(zeros, shift), zeros));
  const VecI fraction = bits(to_float(iand(fixed, broadcast_int(0x7FFFFF)))); // exact
  const VecI slope = mad(fraction, words(4.791750143340323e-15F), words(7.839635491371155e-08F));
  const VecI refined = mad(fraction, slope, words(c0));
  return ior(iand(refined, broadcast_int(static_cast<std::int32_t>(0x807FFFFF))),
             iand(fixed, broadcast_int(kInfinityBits)));
}

inline VecI exp_approximate(VecI x) {
  const VecI least = words(-88.5F);
  const Mask below = both(greater(zero_words(), x), greater(iand(x, broadcast_int(0x7FFFFFFF)), words(88.5F)));
  const VecI scaled = mad(select(below, least, x), words(369.329925537109375F), words(32500.818359375F));
  const Vec limited = min(max(add(from_bits(scaled), broadcast(0.5F)), zero()), broadcast(65535.0F));
  const VecI nearest = round_to_int(limited);
  const Vec too_large = sub(to_float(nearest), limited); // above 0: the nearest integer is not the one below
  const VecI integer = isub(nearest, select(greater(bits(too_large), zero_words()), broadcast_int(1), zero_words()));
  return stored<true>(shift_left<15>(integer));
}

inline VecI reciprocal_of_mantissa(VecI x, int steps) {
  const VecI negative = ior(words(-1.0F), iand(x, broadcast_int(0x7FFFFF)));
  VecI y = mad(words(0.32133400440216064F), negative, words(1.4514148235321045F));
  y = mad(y, negative, words(2.120088338851929F));
  for (int step = 0; step < steps; ++step) y = mad(y, mad(negative, y, words(1.0F)), y);
  return y;
}
inline VecI scale_of_reciprocal(VecI x) {
  const VecI inverted = iand(ixor(x, broadcast_int(-1)), broadcast_int(kInfinityBits));
  return ior(product(inverted, words(0.5F)), signs_of(x));
}
template <bool kDst16>
inline VecI reciprocal(VecI x) {
  VecI y = reciprocal_of_mantissa(x, kDst16 ? 1 : 2);
  if constexpr (kDst16) y = round_words(y);
  const VecI scaled = product(y, scale_of_reciprocal(x));
  return stored<kDst16>(ior(iand(scaled, broadcast_int(0x7FFFFFFF)), signs_of(x)));
}

inline VecI sigmoid_unrounded(VecI x) {
  const VecI divisor = mad(words(1.0F), exp_unrounded(ixor(x, broadcast_int(kSignBit)), 1.0017248F), words(1.0F));
  return product(reciprocal_of_mantissa(divisor, 1), scale_of_reciprocal(divisor));
}

inline VecI gelu_approximate(VecI x) {
  // Of |x|; slopes and offsets as fp16 holds them.
  struct Piece {
    float from, slope, offset;
  };
  constexpr Piece kPieces[] = {{0.5F, 0.493896484375F, -0.160400390625F},
                               {1.0F, 0.61865234375F, -0.279541015625F},
                               {1.5F, 0.60986328125F, -0.263427734375F},
                               {2.0F, 0.5400390625F, -0.119384765625F},
                               {3.0F, 0.5F, 0.0F}};
  const VecI magnitude = iand(x, broadcast_int(0x7FFFFFFF));
  VecI slope = words(0.1927490234375F);
  VecI offset = words(-0.00010442733764648438F);
  for (const Piece& piece : kPieces) {
    const Mask below = greater(words(piece.from), magnitude);
    slope = select(below, slope, words(piece.slope));
    offset = select(below, offset, words(piece.offset));
  }
  return stored<true>(mad(x, words(0.5F), mad(magnitude, slope, offset)));
}

template <typename Function>
inline void each_vector_of(std::int64_t count, std::uint32_t* values, Function function) {
  for (std::int64_t i = 0; i < count; i += kLanes) {
    auto* const place = reinterpret_cast<std::byte*>(values + i);
    store_bits(place, function(load_bits(place)));
  }
}

template <bool kDst16>
inline bool apply_scalar_step(const VectorUnitMode& mode, TileFunction function, float scalar, std::int64_t count,
                              std::uint32_t* values) {
  const VecI factor = words(scalar);
  const VecI one = words(1.0F);
  switch (function) {
    case TileFunction::RELU:
      each_vector_of(count, values, [](VecI x) { return stored<kDst16>(select(greater(zero_words(), x), zero_words(), x)); });
      return true;
    case TileFunction::MUL_SCALAR:
      each_vector_of(count, values, [&](VecI x) {
        return stored<kDst16>(mode.wormhole ? multiply_add<true>(x, factor, zero_words())
                                            : multiply_add<false>(x, factor, zero_words()));
      });
      return true;
    case TileFunction::ADD_SCALAR:
      each_vector_of(count, values, [&](VecI x) {
        return stored<kDst16>(mode.wormhole ? multiply_add<true>(one, x, factor) : multiply_add<false>(one, x, factor));
      });
      return true;
    case TileFunction::RECIPROCAL:
      each_vector_of(count, values, [](VecI x) { return reciprocal<kDst16>(x); });
      return true;
    default:
      return false;
  }
}

/// Those that are kernels with a 16-bit Dst alone.
inline bool apply_narrow_step(const VectorUnitMode& mode, TileFunction function, float scalar, std::int64_t count,
                              std::uint32_t* values) {
  switch (function) {
    case TileFunction::EXP:
      if (scalar != 1.0F) {
        const VecI factor = words(scalar);
        each_vector_of(count, values, [&](VecI x) {
          return mode.wormhole ? multiply_add<true>(x, factor, zero_words())
                               : multiply_add<false>(x, factor, zero_words());
        });
      }
      each_vector_of(count, values, [&](VecI x) {
        return mode.approximate ? exp_approximate(x) : stored<true>(round_words(exp_unrounded(x, 1.001953125F)));
      });
      return true;
    case TileFunction::SIGMOID:
      each_vector_of(count, values, [](VecI x) { return stored<true>(round_words(sigmoid_unrounded(x))); });
      return true;
    case TileFunction::SILU:
      each_vector_of(count, values,
                     [](VecI x) { return stored<true>(round_words(product(x, sigmoid_unrounded(x)))); });
      return true;
    case TileFunction::GELU:
      if (!mode.approximate) return false;
      each_vector_of(count, values, gelu_approximate);
      return true;
    default:
      return false;
  }
}

} // namespace

void vector_unit_multiply_add(bool wormhole, const std::uint32_t* a, const std::uint32_t* b, const std::uint32_t* c,
                              std::int64_t count, std::uint32_t* out) noexcept {
  const auto load_words_at = [](const std::uint32_t* p) { return load_bits(reinterpret_cast<const std::byte*>(p)); };
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const VecI x = load_words_at(a + i);
    const VecI y = load_words_at(b + i);
    const VecI z = load_words_at(c + i);
    store_bits(reinterpret_cast<std::byte*>(out + i),
               wormhole ? multiply_add<true>(x, y, z) : multiply_add<false>(x, y, z));
  }
}

void vector_unit_function(const VectorUnitMode& mode, TileFunction function, float scalar, std::int64_t count,
                          std::uint32_t* values) noexcept {
  const bool done = mode.dst_is_16_bit ? apply_scalar_step<true>(mode, function, scalar, count, values) ||
                                             apply_narrow_step(mode, function, scalar, count, values)
                                       : apply_scalar_step<false>(mode, function, scalar, count, values);
  if (!done) scalar::vector_unit_function(mode, function, scalar, count, values);
}

void l1_accumulate(DataType dtype, const std::uint32_t* added, std::int64_t count, std::uint32_t* sums) noexcept {
  const auto flushed = [](VecI v) { return select(is_zero(exponents_of(v)), signs_of(v), v); };
  for (std::int64_t i = 0; i < count; i += kLanes) {
    auto* const place = reinterpret_cast<std::byte*>(sums + i);
    const VecI x = load_bits(reinterpret_cast<const std::byte*>(added + i));
    const VecI y = load_bits(place);
    if (any(equal(imax(exponents_of(x), exponents_of(y)), broadcast_int(0xFF)))) {
      scalar::l1_accumulate(dtype, added + i, kLanes, sums + i);
      continue;
    }
    VecI sum = bits(add(from_bits(flushed(y)), from_bits(flushed(x))));
    if (dtype != DataType::FLOAT32) { // to nearest even; a carry may make a normal number of a denormal one
      const VecI odd = iand(shift_right<16>(sum), broadcast_int(1));
      sum = iand(iadd(sum, iadd(odd, broadcast_int(0x7FFF))), broadcast_int(static_cast<std::int32_t>(0xFFFF0000)));
    }
    store_bits(place, flushed(sum));
  }
}
