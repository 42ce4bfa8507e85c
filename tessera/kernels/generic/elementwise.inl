// Loops over one row. Included inside an ISA's namespace, after exp.inl and each_vector.inl.

namespace {

/// The normal distribution's lower tail Q(t) = erfc(t / sqrt(2)) / 2 for t >= 0, as e^(-t^2 / 2) R(t). The exponent's
/// square is taken in two floats, because a rounding of it would grow with it. R(t) (1 + t / 2) is smooth and nearly
/// constant: a polynomial in (t - 4.5) / (t + 4.5), as Shepherd and Laframboise (Math. Comp. 36, 1981) have it for the
/// same function; here interpolated at Chebyshev nodes over t <= 14.5, within 5e-9. Beyond, fp32 has no such numbers.
inline Vec normal_tail(Vec t) {
  const Vec bounded = min(broadcast(14.5F), t); // NaN is the second operand: it passes
  const Vec half = mul(bounded, broadcast(0.5F));
  const Vec square = mul(bounded, half);
  const Vec rest = fma(bounded, half, negate(square));
  const Vec power = exp(negate(square));
  const Vec q = div(sub(bounded, broadcast(4.5F)), add(bounded, broadcast(4.5F)));
  Vec sum = broadcast(-1.461126042e-04F);
  sum = fma(sum, q, broadcast(-6.804394939e-05F));
  sum = fma(sum, q, broadcast(1.233380120e-03F));
  sum = fma(sum, q, broadcast(-3.182605452e-03F));
  sum = fma(sum, q, broadcast(3.235304147e-03F));
  sum = fma(sum, q, broadcast(5.063177481e-03F));
  sum = fma(sum, q, broadcast(-2.940480564e-02F));
  sum = fma(sum, q, broadcast(7.229426246e-02F));
  sum = fma(sum, q, broadcast(-1.251999534e-01F));
  sum = fma(sum, q, broadcast(2.756110245e-01F));
  const Vec ratio = div(sum, add(half, broadcast(1.0F)));
  return mul(fma(negate(rest), power, power), ratio);
}

} // namespace

void rotate_pairs(const float* x, const float* cos, const float* sin, std::int64_t count, float* out) noexcept {
  // The sign bit in the even lanes.
  const VecI even = shift_left<31>(iadd(lane_numbers(), broadcast_int(1)));
  for_each_vector(count, out, [&](auto at) {
    const Vec value = at(x);
    const Vec turned = mul(swap_pairs(value), at(sin));
    return fma(value, at(cos), from_bits(ixor(bits(turned), even)));
  });
}

void silu(const float* x, std::int64_t count, float* out) noexcept {
  for_each_vector(count, out, [&](auto at) {
    const Vec value = at(x);
    return div(value, add(broadcast(1.0F), exp(negate(value))));
  });
}

void gelu(const float* x, std::int64_t count, float* out) noexcept {
  for_each_vector(count, out, [&](auto at) {
    const Vec value = at(x);
    const VecI sign = iand(bits(value), broadcast_int(kSignBit));
    const Vec tail = normal_tail(from_bits(ixor(bits(value), sign)));
    const VecI below = select(equal(sign, broadcast_int(0)), bits(sub(broadcast(1.0F), tail)), bits(tail));
    return mul(value, from_bits(below));
  });
}

void gelu_tanh(const float* x, std::int64_t count, float* out) noexcept {
  for_each_vector(count, out, [&](auto at) {
    // (1 + tanh(u)) / 2 = 1 / (1 + e^(-2 u)), 2 u = x sqrt(8 / pi) (1 + 0.044715 x^2)
    const Vec value = at(x);
    const Vec slope = fma(mul(value, value), broadcast(0.0713548163F), broadcast(1.59576912F));
    return div(value, add(broadcast(1.0F), exp(negate(mul(value, slope)))));
  });
}

void softcap(const float* x, float cap, std::int64_t count, float* out) noexcept {
  for_each_vector(count, out, [&](auto at) { return soft_capped(at(x), broadcast(cap), broadcast(2.0F / cap)); });
}

void add(const float* a, const float* b, std::int64_t count, float* out) noexcept {
  for_each_vector(count, out, [&](auto at) { return add(at(a), at(b)); });
}

void max(const float* a, const float* b, std::int64_t count, float* out) noexcept {
  for_each_vector(count, out, [&](auto at) { return max(at(a), at(b)); });
}

void relu(const float* x, std::int64_t count, float* out) noexcept {
  for_each_vector(count, out, [&](auto at) { return max(zero(), at(x)); });
}

void mul(const float* a, const float* b, std::int64_t count, float* out) noexcept {
  for_each_vector(count, out, [&](auto at) { return mul(at(a), at(b)); });
}
