// Sums over a row, and the row normalised by them. Included inside an ISA's namespace, after each_vector.inl.

double sum_of_squares(const float* x, std::int64_t count) noexcept {
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
  return static_cast<double>(reduce_add(add(add(sums[0], sums[1]), add(sums[2], sums[3]))));
}

void scale_row(const float* x, const float* gamma, float scale, std::int64_t count, float* out) noexcept {
  const Vec factor = broadcast(scale);
  for_each_vector(count, out, [&](auto at) { return mul(mul(at(x), factor), at(gamma)); });
}

Moments moments(const float* x, std::int64_t count) noexcept {
  VecD sums[2] = {zero_double(), zero_double()};
  VecD squares[2] = {zero_double(), zero_double()};
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const Vec value = i + kLanes <= count ? load(x + i) : load_first(x + i, count - i);
    const VecD halves[2] = {widen_low(value), widen_high(value)};
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      sums[h] = add(sums[h], halves[h]);
      squares[h] = fma(halves[h], halves[h], squares[h]);
    }
  }
  return {.sum = reduce_add(add(sums[0], sums[1])), .sum_of_squares = reduce_add(add(squares[0], squares[1]))};
}

void normalize(const float* x, double mean, float scale, const float* gamma, const float* beta, std::int64_t count,
               float* out) noexcept {
  const auto high = static_cast<float>(mean);
  const Vec shift = broadcast(high);
  const Vec rest = broadcast(static_cast<float>(mean - static_cast<double>(high)));
  const Vec factor = broadcast(scale);
  for_each_vector(count, out, [&](auto at) {
    const Vec deviation = sub(sub(at(x), shift), rest);
    return fma(mul(deviation, factor), at(gamma), at(beta));
  });
}
