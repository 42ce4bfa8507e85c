// The exponential function. Included inside an ISA's namespace.

namespace {

/// e^x within 1 ulp for normal results, 0 below -104, Inf above 89; NaN stays NaN. x = n ln 2 + r with |r| <= ln 2 / 2
/// (ln 2 in two parts, so that r is exact enough: Cody and Waite), e^r by its Taylor series: the first term left out is
/// r^8 / 8! < 5.3e-9, a tenth of an ulp.
inline Vec exp(Vec x) {
  const Vec bounded = min(broadcast(89.0F), max(broadcast(-104.0F), x)); // NaN is the second operand: it passes
  const VecI n = round_to_int(mul(bounded, broadcast(1.44269504F)));
  const Vec turns = to_float(n);
  const Vec r = fma(turns, broadcast(-1.42860677e-6F), fma(turns, broadcast(-0.693145752F), bounded));
  Vec sum = broadcast(1.0F / 5040);
  sum = fma(sum, r, broadcast(1.0F / 720));
  sum = fma(sum, r, broadcast(1.0F / 120));
  sum = fma(sum, r, broadcast(1.0F / 24));
  sum = fma(sum, r, broadcast(1.0F / 6));
  sum = fma(sum, r, broadcast(0.5F));
  sum = fma(sum, r, broadcast(1.0F));
  sum = fma(sum, r, broadcast(1.0F));
  // 2^n in two factors: n runs from -150 to 128, beyond the exponents of normal numbers.
  const VecI half = shift_right_arithmetic<1>(n);
  const VecI bias = broadcast_int(127);
  const Vec low = from_bits(shift_left<23>(iadd(half, bias)));
  const Vec high = from_bits(shift_left<23>(iadd(isub(n, half), bias)));
  return mul(mul(sum, low), high);
}

/// cap * tanh(x / cap), as cap - 2 cap / (e^(2 x / cap) + 1): within 2^-22 cap. 1 - 2 / Inf is 1 and 1 - 2 / 1 is -1, so
/// that large values need no care.
inline Vec soft_capped(Vec x, Vec cap, Vec two_over_cap) {
  const Vec power = add(exp(mul(x, two_over_cap)), broadcast(1.0F));
  return fma(negate(cap), div(broadcast(2.0F), power), cap);
}

} // namespace
