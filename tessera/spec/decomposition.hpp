#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/spec/compute_config.hpp"

namespace tessera {

/// What a compute kernel tells its core to do, tile by tile, in the words of TT-Metal's compute API. SrcA and SrcB have
/// ports of different width, so operands are not interchangeable: matmul takes `a` in SrcB and `b` in SrcA, everything
/// else `a` in SrcA.
enum class TileInstruction {
  LOOP, ///< repeats what follows up to its END_LOOP
  END_LOOP,
  ACQUIRE,         ///< all of Dst becomes zero (tile_regs_acquire)
  COPY,            ///< dst = a (copy_tile)
  MATMUL,          ///< dst += a b
  ADD,             ///< dst = a + b
  SUB,             ///< dst = a - b
  MUL,             ///< dst += a * b, element by element
  REDUCE_SUM,      ///< dst += the sum over a's rows or columns, each times the scaler in b
  REDUCE_MAX,      ///< dst = the larger of it and the maximum over a's rows or columns
  FUNCTION,        ///< dst = function(dst, scalar), by the vector unit
  BINARY_FUNCTION, ///< dst = function(dst, dst_other), by the vector unit
  PACK,            ///< a = dst, in a's format (pack_tile)
};

/// Which part of `b` stands for all of it: its first row, its first column, its first element.
enum class Broadcast { NONE, ROW, COLUMN, SCALAR };

/// REDUCE_ROW sums along a row: its results stand in the first column. REDUCE_COL: in the first row.
enum class ReduceDim { ROW, COL };

/// Functions of the vector unit.
enum class TileFunction {
  EXP, ///< of scalar * x
  RECIPROCAL,
  RSQRT,
  TANH,
  SIGMOID,
  SILU,
  GELU,      ///< by the error function
  GELU_TANH, ///< its approximation by tanh
  RELU,
  ADD_SCALAR,
  MUL_SCALAR,
  ADD, ///< this and those below take two tiles of Dst
  MUL,
  MAX,
};

/// Loops inside each other at most.
inline constexpr int kMostLoops = 3;

/// Tile number offset + the sum of strides[d] * the turn of the d-th loop, counted from outside, of a buffer.
struct TileReference {
  std::int32_t buffer = -1;
  std::int32_t offset = 0;
  std::array<std::int32_t, kMostLoops> strides{};
};

struct TileStep {
  TileInstruction instruction = TileInstruction::ACQUIRE;
  TileReference a;
  TileReference b;
  int dst = 0;
  int dst_other = 0;
  Broadcast broadcast = Broadcast::NONE;
  ReduceDim dim = ReduceDim::ROW;
  TileFunction function = TileFunction::EXP;
  float scalar = 1.0F;
  /// LOOP: turns; a negative number -1 - i stands for the i-th count that comes with the work.
  std::int64_t count = 0;
  bool accumulate = false;     ///< PACK: adds to what is there (packer_l1_acc)
  bool unpack_to_dest = false; ///< COPY: FLOAT32 goes past the source registers, whole
};

/// Tiles in L1 on their way to or from a compute kernel.
struct TileBuffer {
  enum class Role { INPUT, INTERMEDIATE, OUTPUT };
  std::string name;
  Role role = Role::INPUT;
  DataType dtype = DataType::BFLOAT16;
  std::int64_t tiles = 1; ///< that are there at once
  /// Whether its tiles have the rows of the work (activations), which an engine may take at several tiles' height, or
  /// the 32 of a tile (weights, keys).
  bool rows_of_work = true;
};

/// An op as the card's units compute it: the compute kernel of one core, as data. Readers and writers, which bring
/// tiles and take them, are data movement, and are not part of it. docs/numerics.md lists the ops.
struct Decomposition {
  /// COMPUTE: `steps`. MOVEMENT: bytes are moved, and no unit computes, but the unpacker and the packer where formats
  /// differ. SCALAR: the small cores' integer code and comparisons.
  enum class Kind { COMPUTE, MOVEMENT, SCALAR };
  Kind kind = Kind::COMPUTE;
  ComputeConfig compute;
  std::vector<TileBuffer> buffers;
  std::vector<TileStep> steps;
};

} // namespace tessera
