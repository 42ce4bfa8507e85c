// What drawing a token from logits needs. Included inside an ISA's namespace.

namespace {

/// 2^((x - maximum) * scale) as 2^n 2^f: n the integer next to the exponent, 2^f by its Taylor series, products and sums
/// in this order on every ISA.
inline Vec weight(Vec x, Vec maximum, Vec scale) {
  // Below 2^-40 nothing is left, and 2^n stays a normal number. NaN becomes that too.
  const Vec exponent = max(mul(sub(x, maximum), scale), broadcast(-40.0F));
  const VecI n = round_to_int(exponent);
  const Vec f = mul(sub(exponent, to_float(n)), broadcast(0.693147181F)); // ln 2
  Vec power = broadcast(1.0F / 720);
  power = add(mul(power, f), broadcast(1.0F / 120));
  power = add(mul(power, f), broadcast(1.0F / 24));
  power = add(mul(power, f), broadcast(1.0F / 6));
  power = add(mul(power, f), broadcast(0.5F));
  power = add(mul(power, f), broadcast(1.0F));
  power = add(mul(power, f), broadcast(1.0F));
  const Vec value = mul(power, from_bits(shift_left<23>(iadd(n, broadcast_int(127)))));
  // 2^-10 is 2^23 steps: adding it rounds to whole steps.
  return sub(add(value, broadcast(0x1p-10F)), broadcast(0x1p-10F));
}

/// Exact for weights, in whatever order the compiler's vectors take them.
inline double sum_of_weights(const float* weights, std::int64_t count) {
  constexpr std::int64_t kSums = 16;
  double sums[kSums] = {};
  std::int64_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (std::int64_t lane = 0; lane < kSums; ++lane) sums[lane] += weights[i + lane];
  }
  double sum = 0;
  for (; i < count; ++i) sum += weights[i];
  for (const double lane : sums) sum += lane;
  return sum;
}

} // namespace

void block_maxima(const float* x, std::int64_t blocks, float* maxima) noexcept {
  for (std::int64_t block = 0; block < blocks; ++block, x += kMaximaBlock) {
    Vec most = broadcast(-__builtin_inff());
    for (std::int64_t i = 0; i < kMaximaBlock; i += kLanes) most = max(load(x + i), most); // drops NaN
    maxima[block] = reduce_max(most);
  }
}

double softmax_weights(const float* x, std::int64_t count, float maximum, float scale, float* out) noexcept {
  const Vec m = broadcast(maximum);
  const Vec s = broadcast(scale);
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, weight(load(x + i), m, s));
  if (i < count) store_first(out + i, weight(load_first(x + i, count - i), m, s), count - i);
  return sum_of_weights(out, count);
}
