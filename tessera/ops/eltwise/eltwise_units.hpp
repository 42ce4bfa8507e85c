#pragma once

#include <cstdint>
#include <span>

#include "tessera/ops/eltwise/activation.hpp"
#include "tessera/spec/decomposition.hpp"

// The compute kernels of element-wise ops, a row of tiles at a time.

namespace tessera::ops {

/// The vector unit's function. REQUIRES: not NONE.
TileFunction function_of(Activation activation);

/// One function of the vector unit, and its number.
struct VectorStep {
  TileFunction function = TileFunction::EXP;
  float scalar = 1.0F;
};

struct UnaryFormats {
  DataType input;
  DataType output;
};
/// Functions one after the other, each packed as an op of its own. Input: input_tensor.
Decomposition unary_units(std::span<const VectorStep> chain, std::int64_t columns, const UnaryFormats& formats);

struct BinaryFormats {
  DataType a;
  DataType b;
  DataType output;
};
/// function(activation(a), b), ADD or MUL: by the matrix unit's element-wise instructions, or where an operand is
/// FLOAT32, of which the source registers hold too little, by the vector unit. Inputs: input_tensor_a, input_tensor_b.
Decomposition binary_units(TileFunction function, Activation activation, std::int64_t columns,
                           const BinaryFormats& formats);

} // namespace tessera::ops
