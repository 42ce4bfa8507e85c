// The integers of the LoFi products (kernels.hpp, matmul_int8_tile_columns). Included inside an ISA's namespace, over its
// vec.hpp.

/// A weight whose shared exponent lies this far below the largest of its half tile counts as zero.
inline constexpr int kDroppedExponents = 7;

/// Largest shared exponents for which half a tile has weights: below the first they count as zero, beyond the second
/// their products as NaN.
inline constexpr int kLeastExponent = 7;
inline constexpr int kMostExponent = 237;

inline float float_of(std::int32_t pattern) {
  float value;
  __builtin_memcpy(&value, &pattern, sizeof value);
  return value;
}

/// What one unit of a weight's integer is worth under the largest shared exponent: 2^(exponent - 133).
inline float weight_scale(int exponent) {
  if (exponent > kMostExponent) return __builtin_nanf("");
  return float_of(exponent < kLeastExponent ? 0 : (exponent - 6) << 23);
}

/// 32 activations as integers in [-127, 127] times one scale.
template <int kParts>
struct QuantisedBlock {
  VecI integers[kParts];
  float scale = 0.0F;

  explicit QuantisedBlock(const float* x) {
    VecI most = broadcast_int(0);
#pragma GCC unroll 4
    for (int part = 0; part < kParts; ++part)
      most = imax(most, iand(bits(load(x + part * kLanes)), broadcast_int(0x7FFFFFFF)));
    const std::int32_t pattern = reduce_imax(most);
    constexpr std::int32_t kInfinity = 0x7F800000;
    constexpr std::int32_t kTiny = 27 << 23; // 2^-100: below it 127 / largest could overflow
    float inverse = 0.0F;
    if (pattern >= kInfinity) {
      scale = __builtin_nanf("");
    } else if (pattern >= kTiny) {
      const float largest = float_of(pattern);
      inverse = 127.0F / largest;
      scale = largest / 127.0F;
    }
#pragma GCC unroll 4
    for (int part = 0; part < kParts; ++part) {
      const Vec value = mul(load(x + part * kLanes), broadcast(inverse));
      integers[part] = inverse == 0.0F ? broadcast_int(0) : round_to_int(value);
    }
  }
};
