// Loops over one row. Included inside an ISA's namespace, after exp.inl.

namespace {

/// out[i] = body(i, loader), where the loader reads kLanes floats of any array at i, or the rest of them at the end.
template <typename Body>
inline void for_each_vector(std::int64_t count, float* out, const Body& body) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, body([i](const float* p) { return load(p + i); }));
  const std::int64_t left = count - i;
  if (left > 0) store_first(out + i, body([i, left](const float* p) { return load_first(p + i, left); }), left);
}

inline float sum_of_squares(const float* x, std::int64_t count) {
  Vec sums[4] = {zero(), zero(), zero(), zero()};
  std::int64_t i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
#pragma GCC unroll 4
    for (int s = 0; s < 4; ++s) {
      const Vec value = load(x + i + s * kLanes);
      sums[s] = fma(value, value, sums[s]);
    }
  }
  for (; i < count; i += kLanes) {
    const Vec value = load_first(x + i, smaller(count - i, kLanes));
    sums[0] = fma(value, value, sums[0]);
  }
  return reduce_add(add(add(sums[0], sums[1]), add(sums[2], sums[3])));
}

} // namespace

void rms_norm(const float* x, const float* gamma, float epsilon, std::int64_t count, float* out) noexcept {
  const float mean = sum_of_squares(x, count) / static_cast<float>(count);
  const Vec scale = broadcast(1.0F / __builtin_sqrtf(mean + epsilon));
  for_each_vector(count, out, [&](auto at) { return mul(mul(at(x), scale), at(gamma)); });
}

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
