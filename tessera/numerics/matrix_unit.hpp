#pragma once

#include <cstdint>
#include <span>

#include "tessera/spec/compute_config.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::numerics {

/// What the matrix unit accumulates in.
enum class DstFormat { BFLOAT16, FLOAT32 };

/// The matrix unit of an architecture with Dst of one width: what one instruction does to one element of Dst, bit for
/// bit as the vendor's functional simulator computes it. Source and Dst values are fp32 patterns: what a source
/// register holds is an fp32 pattern of at most 10 mantissa bits (to_source), a 16-bit Dst one of 7.
///
/// It knows neither denormals nor NaN nor Inf: a raw exponent of 0 is zero, one of 255 an ordinary binade, overflow
/// gives the pattern of Inf, and a zero result is +0.
struct MatrixUnit {
  DstFormat dst = DstFormat::BFLOAT16;
  /// Wormhole's fault with a 32-bit Dst: a sum of exactly -1 unit in the last place of the largest term comes out 2^27
  /// times too large (tt-metal issue 38306). Blackhole has it not.
  bool cancellation_fault = true;

  /// What the unpacker puts into SrcA or SrcB of an fp32 value: TF32 for a 32-bit Dst, BFLOAT16 for a 16-bit one. It
  /// truncates; a denormal becomes a zero of its sign where it goes to BFLOAT16.
  std::uint32_t to_source(float value) const;

  /// MVMUL: dst + the sum of a[k] * b[k] in one fidelity phase, a from SrcA (5 bits at a time), b from SrcB (7 bits).
  /// Each product is rounded to 10 fractional bits of the largest one of its group of eight.
  std::uint32_t dot(int phase, std::span<const std::uint32_t, kFaceWidth> a,
                    std::span<const std::uint32_t, kFaceWidth> b, std::uint32_t dst_value) const;
  /// ELWMUL: dst + a * b in one fidelity phase.
  std::uint32_t multiply(int phase, std::uint32_t a, std::uint32_t b, std::uint32_t dst_value) const;
  /// ELWADD: dst + (a + b), where a + b is aligned at 10 fractional bits of the larger one. Subtraction is addition of
  /// b with the other sign.
  std::uint32_t add(std::uint32_t a, std::uint32_t b, std::uint32_t dst_value) const;
  /// GMPOOL: the larger of a and dst in the order of sign and magnitude. Exact but that denormals count as +0.
  std::uint32_t max(std::uint32_t a, std::uint32_t dst_value) const;
};

/// Phases that a fidelity runs, 0 first: 1 LoFi to 4 HiFi4.
constexpr int fidelity_phases(MathFidelity fidelity) {
  return static_cast<int>(fidelity) + 1;
}

/// One tile of a matmul, dst += in0 @ in1, as TT-LLK orders it: phases outside, the two halves of k inside. All are
/// row-major 32x32: in0 in SrcB, in1 in SrcA.
void matmul_tile(const MatrixUnit& unit, MathFidelity fidelity, std::span<const std::uint32_t, kTileElements> in0,
                 std::span<const std::uint32_t, kTileElements> in1, std::span<std::uint32_t, kTileElements> dst);

/// GAPOOL over the rows of a tile: dst[c] += scaler * the sum of data[r][c], the upper 16 rows first. Data are in SrcA,
/// so that LoFi sees 5 bits of them.
void reduce_rows_sum(const MatrixUnit& unit, MathFidelity fidelity, std::span<const std::uint32_t, kTileElements> data,
                     std::uint32_t scaler, std::span<std::uint32_t, kTileWidth> dst);

} // namespace tessera::numerics
