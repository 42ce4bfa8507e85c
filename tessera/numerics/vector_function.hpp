#pragma once

#include <cstdint>

#include "tessera/numerics/matrix_unit.hpp"
#include "tessera/numerics/sfpu.hpp"
#include "tessera/spec/decomposition.hpp"

namespace tessera::numerics {

/// How the vector unit computes functions of what stands in Dst.
struct VectorUnit {
  ArchKind arch = ArchKind::WORMHOLE;
  DstFormat dst = DstFormat::BFLOAT16;
  bool approximate = false; ///< math_approx_mode
};

/// A function of one value of Dst, as Dst holds it afterwards; fp32 patterns. With a 16-bit Dst EXP, RECIPROCAL,
/// SIGMOID, SILU, and approximately GELU are what the kernels of 2026 compute, instruction by instruction, and so is
/// RECIPROCAL with a 32-bit one; MUL_SCALAR and ADD_SCALAR are one multiply-add. The others are modelled: the exact
/// value rounded to fp32, then as kernels round before they store. docs/numerics.md lists which.
std::uint32_t apply(const VectorUnit& unit, TileFunction function, std::uint32_t x, float scalar);
/// A function of two values of Dst: ADD, MUL, MAX.
std::uint32_t apply(const VectorUnit& unit, TileFunction function, std::uint32_t x, std::uint32_t y);

} // namespace tessera::numerics
