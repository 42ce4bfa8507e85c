// Loops over one row. Included inside an ISA's namespace, after exp.inl and each_vector.inl.

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
    return div(value, add(broadcast(1.0F), exp(from_bits(ixor(bits(value), broadcast_int(kSignBit))))));
  });
}

void add(const float* a, const float* b, std::int64_t count, float* out) noexcept {
  for_each_vector(count, out, [&](auto at) { return add(at(a), at(b)); });
}

void mul(const float* a, const float* b, std::int64_t count, float* out) noexcept {
  for_each_vector(count, out, [&](auto at) { return mul(at(a), at(b)); });
}
