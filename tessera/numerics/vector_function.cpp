#include "tessera/numerics/vector_function.hpp"

#include <cmath>
#include <numbers>

#include "tessera/numerics/bfloat16.hpp"

namespace tessera::numerics {
namespace {

constexpr std::uint32_t kOne = 0x3F800000;

bool is_16_bit(const VectorUnit& unit) {
  return unit.dst == DstFormat::BFLOAT16;
}

/// What a kernel does last: rounds to Dst's width, ties away from zero, and stores.
std::uint32_t rounded_store(const VectorUnit& unit, std::uint32_t bits) {
  return is_16_bit(unit) ? sfpu::store_bfloat16(sfpu::round_to_bfloat16(bits)) : sfpu::store_float32(bits);
}
/// Stores without rounding: a 16-bit Dst keeps the upper half.
std::uint32_t plain_store(const VectorUnit& unit, std::uint32_t bits) {
  return is_16_bit(unit) ? sfpu::store_bfloat16(bits) : sfpu::store_float32(bits);
}

double sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

/// The functions that are modelled, in double precision.
double value_of(TileFunction function, double x) {
  switch (function) {
    case TileFunction::EXP:
      return std::exp(x);
    case TileFunction::RSQRT:
      return 1.0 / std::sqrt(x);
    case TileFunction::TANH:
      return std::tanh(x);
    case TileFunction::SIGMOID:
      return sigmoid(x);
    case TileFunction::SILU:
      return x * sigmoid(x);
    case TileFunction::GELU:
      return x / 2 * std::erfc(-x / std::numbers::sqrt2);
    case TileFunction::GELU_TANH:
      return x / 2 * (1.0 + std::tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    default:
      return x;
  }
}

} // namespace

std::uint32_t apply(const VectorUnit& unit, TileFunction function, std::uint32_t x, float scalar) {
  const std::uint32_t factor = float_bits(scalar);
  switch (function) {
    case TileFunction::RELU:
      return plain_store(unit, x >> 31 != 0 ? 0 : x);
    case TileFunction::MUL_SCALAR:
      return plain_store(unit, sfpu::multiply_add(unit.arch, x, factor, 0));
    case TileFunction::ADD_SCALAR:
      return plain_store(unit, sfpu::multiply_add(unit.arch, kOne, x, factor));
    case TileFunction::RECIPROCAL:
      return is_16_bit(unit) ? sfpu::reciprocal_bfloat16(x) : sfpu::reciprocal_float32(x);
    case TileFunction::EXP:
      if (scalar != 1.0F) x = sfpu::multiply_add(unit.arch, x, factor, 0);
      if (unit.approximate && is_16_bit(unit)) return sfpu::exp_approximate(x);
      if (is_16_bit(unit)) return sfpu::exp_bfloat16(x);
      break;
    case TileFunction::GELU:
      if (unit.approximate && is_16_bit(unit)) return sfpu::gelu_approximate(x);
      break;
    case TileFunction::SIGMOID:
      if (is_16_bit(unit)) return sfpu::sigmoid_bfloat16(x);
      break;
    case TileFunction::SILU:
      if (is_16_bit(unit)) return sfpu::silu_bfloat16(x);
      break;
    default:
      break;
  }
  return rounded_store(unit, float_bits(static_cast<float>(value_of(function, float_from_bits(x)))));
}

std::uint32_t apply(const VectorUnit& unit, TileFunction function, std::uint32_t x, std::uint32_t y) {
  switch (function) {
    case TileFunction::ADD:
      return rounded_store(unit, sfpu::multiply_add(unit.arch, kOne, x, y));
    case TileFunction::MUL:
      return rounded_store(unit, sfpu::multiply_add(unit.arch, x, y, 0));
    default: // MAX swaps by sign and magnitude
      return plain_store(unit, float_from_bits(x) >= float_from_bits(y) ? x : y);
  }
}

} // namespace tessera::numerics
