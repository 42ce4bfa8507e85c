#include "tessera/numerics/matrix_unit.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>

#include "tessera/numerics/bfloat16.hpp"

namespace tessera::numerics {
namespace {

constexpr int kFractionBits = 23;         // of Dst, and of a sum that is added to it
constexpr int kProductFraction = 10;      // of a product, and of a sum of products
constexpr int kGroup = 8;                 // products that are aligned with each other
constexpr std::int64_t kUnit16 = 1 << 13; // the last place that terms keep when Dst is 16-bit

int exponent_of(std::uint32_t bits) {
  return static_cast<int>(bits >> 23 & 0xFF);
}
bool is_negative(std::uint32_t bits) {
  return bits >> 31 != 0;
}
/// 11 bits, with the hidden one.
std::int64_t source_significand(std::uint32_t bits) {
  return static_cast<std::int64_t>(1024 | (bits >> 13 & 1023));
}
/// Half is added before bits are dropped: ties go away from zero on a magnitude.
std::int64_t shift_right_rounding(std::int64_t magnitude, int by) {
  return by == 0 ? magnitude : (magnitude + (std::int64_t{1} << (by - 1))) >> by;
}

struct Product {
  std::int64_t magnitude = 0; // 10 fractional bits
  int exponent = 0;
  bool negative = false;
};

/// The part of a * b that a phase multiplies: 5 bits of a's significand by 7 of b's.
Product partial_product(int phase, std::uint32_t a, std::uint32_t b) {
  constexpr std::array kCorrection{0, -5, -7, -12};
  if (exponent_of(a) == 0 || exponent_of(b) == 0) return {};
  const std::int64_t a_bits = source_significand(a);
  const std::int64_t b_bits = source_significand(b);
  const std::int64_t a_part = (phase & 1) == 0 ? a_bits >> 6 : a_bits >> 1 & 31;
  const std::int64_t b_part = (phase & 2) == 0 ? b_bits >> 4 : (b_bits & 15) << 3;
  return {.magnitude = a_part * b_part,
          .exponent = exponent_of(a) + exponent_of(b) - 127 + kCorrection[static_cast<std::size_t>(phase)],
          .negative = is_negative(a) != is_negative(b)};
}

/// A term of an addition to Dst: value * 2^(exponent - 127 - 23).
struct Term {
  std::int64_t value = 0;
  int exponent = 0;
};

/// Products are rounded to the fractional bits of the largest, then summed exactly.
Term sum_of_group(std::span<const Product, kGroup> products) {
  int largest = products[0].exponent;
  for (const Product& product : products) largest = std::max(largest, product.exponent);
  if (largest <= 0) return {};
  std::int64_t sum = 0;
  for (const Product& product : products) {
    const int distance = std::min(largest - product.exponent, 30);
    const std::int64_t rounded = shift_right_rounding(2 * product.magnitude, distance + 1);
    sum += product.negative ? -rounded : rounded;
  }
  return {sum * (1 << (kFractionBits - kProductFraction)), largest};
}

/// A sum on its way to Dst: ties go towards +infinity.
std::int64_t aligned_sum(const Term& term, int exponent, bool to_16_bits) {
  const std::int64_t tie_down = term.value < 0 ? 1 : 0;
  std::int64_t magnitude = std::abs(term.value);
  if (const int distance = exponent - term.exponent; distance >= 31)
    magnitude = 0;
  else if (distance > 0)
    magnitude = (magnitude + (std::int64_t{1} << (distance - 1)) - tie_down) >> distance;
  if (to_16_bits) magnitude = (magnitude + kUnit16 / 2 - tie_down) / kUnit16 * kUnit16;
  return term.value < 0 ? -magnitude : magnitude;
}

/// What Dst held: ties go away from zero.
std::int64_t aligned_dst(std::uint32_t bits, int exponent, bool to_16_bits) {
  if (exponent_of(bits) == 0) return 0;
  const int distance = exponent - exponent_of(bits);
  std::int64_t magnitude = 0x800000 | (bits & 0x7FFFFF);
  magnitude = distance >= 31 ? 0 : shift_right_rounding(magnitude, distance);
  if (to_16_bits) magnitude = (magnitude + kUnit16 / 2) / kUnit16 * kUnit16;
  return is_negative(bits) ? -magnitude : magnitude;
}

/// value * 2^(exponent - 127 - 23) as an fp32 pattern of `bits` significant bits; ties go away from zero.
std::uint32_t normalised(std::int64_t value, int exponent, int bits) {
  if (value == 0) return 0;
  const auto magnitude = static_cast<std::uint64_t>(std::abs(value));
  const int width = std::bit_width(magnitude);
  exponent += width - 1 - kFractionBits;
  std::uint64_t significand =
      width > bits
          ? static_cast<std::uint64_t>(shift_right_rounding(static_cast<std::int64_t>(magnitude), width - bits))
          : magnitude << (bits - width);
  if (significand >> bits != 0) {
    significand >>= 1;
    ++exponent;
  }
  if (exponent <= 0) return 0;
  const std::uint32_t sign = value < 0 ? 0x80000000 : 0;
  if (exponent >= 255) return sign | 0x7F800000;
  const auto mantissa = static_cast<std::uint32_t>(significand << (kFractionBits + 1 - bits)) & 0x7FFFFF;
  return sign | static_cast<std::uint32_t>(exponent) << 23 | mantissa;
}

std::uint32_t add_to_dst(const MatrixUnit& unit, std::span<const Term> terms, std::uint32_t dst) {
  int exponent = exponent_of(dst);
  for (const Term& term : terms) exponent = std::max(exponent, term.exponent);
  if (exponent <= 0) return 0;
  const bool to_16_bits = unit.dst == DstFormat::BFLOAT16;
  std::int64_t sum = aligned_dst(dst, exponent, to_16_bits);
  for (const Term& term : terms) sum += aligned_sum(term, exponent, to_16_bits);
  if (unit.cancellation_fault && !to_16_bits && sum == -1) return normalised(-1, exponent + kFractionBits + 4, 24);
  return normalised(sum, exponent, to_16_bits ? 8 : 24);
}

} // namespace

std::uint32_t MatrixUnit::to_source(float value) const {
  const std::uint32_t bits = float_bits(value);
  if (dst == DstFormat::FLOAT32) return bits & 0xFFFFE000;
  return exponent_of(bits) == 0 ? bits & 0x80000000 : bits & 0xFFFF0000;
}

std::uint32_t MatrixUnit::dot(int phase, std::span<const std::uint32_t, kFaceWidth> a,
                              std::span<const std::uint32_t, kFaceWidth> b, std::uint32_t dst_value) const {
  std::array<Product, kFaceWidth> products;
  for (std::size_t k = 0; k < products.size(); ++k) products[k] = partial_product(phase, a[k], b[k]);
  const std::span all(products);
  const std::array terms{sum_of_group(all.first<kGroup>()), sum_of_group(all.last<kGroup>())};
  return add_to_dst(*this, terms, dst_value);
}

std::uint32_t MatrixUnit::multiply(int phase, std::uint32_t a, std::uint32_t b, std::uint32_t dst_value) const {
  const Product product = partial_product(phase, a, b);
  Term term;
  if (product.exponent > 0) {
    const std::int64_t value = product.magnitude * (1 << (kFractionBits - kProductFraction));
    term = {product.negative ? -value : value, product.exponent};
  }
  return add_to_dst(*this, {&term, 1}, dst_value);
}

std::uint32_t MatrixUnit::add(std::uint32_t a, std::uint32_t b, std::uint32_t dst_value) const {
  if ((a & 0x7FFFFFFF) < (b & 0x7FFFFFFF)) std::swap(a, b);
  const int distance = exponent_of(a) - exponent_of(b);
  const std::int64_t larger = exponent_of(a) == 0 ? 0 : source_significand(a);
  const std::int64_t smaller =
      exponent_of(b) == 0 || distance >= 12 ? 0 : shift_right_rounding(source_significand(b), distance);
  const std::int64_t sum = (is_negative(a) ? -larger : larger) + (is_negative(b) ? -smaller : smaller);
  const Term term{sum * (1 << (kFractionBits - kProductFraction)), exponent_of(a)};
  return add_to_dst(*this, {&term, 1}, dst_value);
}

std::uint32_t MatrixUnit::max(std::uint32_t a, std::uint32_t dst_value) const {
  const auto ordered = [](std::uint32_t bits) {
    const auto magnitude = static_cast<std::int64_t>(bits & 0x7FFFFFFF);
    return is_negative(bits) ? -1 - magnitude : magnitude;
  };
  const std::uint32_t candidate = exponent_of(a) == 0 ? 0 : a;
  return ordered(candidate) > ordered(dst_value) ? candidate : dst_value;
}

void matmul_tile(const MatrixUnit& unit, MathFidelity fidelity, std::span<const std::uint32_t, kTileElements> in0,
                 std::span<const std::uint32_t, kTileElements> in1, std::span<std::uint32_t, kTileElements> dst) {
  std::array<std::uint32_t, kTileElements> columns; // in1 transposed
  for (std::size_t k = 0; k < kTileHeight; ++k) {
    for (std::size_t n = 0; n < kTileWidth; ++n) columns[n * kTileHeight + k] = in1[k * kTileWidth + n];
  }
  for (std::size_t i = 0; i < dst.size(); ++i) {
    const std::span row = in0.subspan(i / kTileWidth * kTileWidth, kTileWidth);
    const std::span column = std::span(columns).subspan(i % kTileWidth * kTileHeight, kTileHeight);
    for (int phase = 0; phase < fidelity_phases(fidelity); ++phase) {
      dst[i] = unit.dot(phase, column.first<kFaceWidth>(), row.first<kFaceWidth>(), dst[i]);
      dst[i] = unit.dot(phase, column.last<kFaceWidth>(), row.last<kFaceWidth>(), dst[i]);
    }
  }
}

void reduce_rows_sum(const MatrixUnit& unit, MathFidelity fidelity, std::span<const std::uint32_t, kTileElements> data,
                     std::uint32_t scaler, std::span<std::uint32_t, kTileWidth> dst) {
  std::array<std::uint32_t, kFaceWidth> scalers;
  scalers.fill(scaler);
  for (std::size_t column = 0; column < kTileWidth; ++column) {
    for (std::size_t first = 0; first < kTileHeight; first += kFaceHeight) {
      std::array<std::uint32_t, kFaceHeight> rows;
      for (std::size_t r = 0; r < rows.size(); ++r) rows[r] = data[(first + r) * kTileWidth + column];
      for (int phase = 0; phase < fidelity_phases(fidelity); ++phase)
        dst[column] = unit.dot(phase, rows, scalers, dst[column]);
    }
  }
}

} // namespace tessera::numerics
