#pragma once

#include <cstdint>

#include "tessera/ops/eltwise/activation.hpp"
#include "tessera/ops/exact/rows.hpp"
#include "tessera/spec/decomposition.hpp"

// The compute kernel of matrix products: one column of output tiles at a time, blocks of the depth one after the other.

namespace tessera::ops {

struct MatmulUnits {
  std::int64_t depth = 0; ///< in tiles
  std::int64_t block = 1; ///< tiles of the depth whose products stay in Dst together (in0_block_w)
  DataType input = DataType::BFLOAT16;
  DataType weight = DataType::BFLOAT16;
  DataType output = DataType::BFLOAT16;
  bool has_bias = false;
  DataType bias = DataType::BFLOAT16;
  bool has_residual = false; ///< added to what the product packs
  DataType residual = DataType::BFLOAT16;
  Activation activation = Activation::NONE;
  ComputeConfig compute;
};

/// Tiles of the depth in a block, as tt_transformers chooses them. Decode (one row of tiles): the DRAM-sharded matmul,
/// whose cores divide depth and columns; more rows: the 2D one, on 8 rows of cores. The largest divisor of a core's
/// share, 8 at most.
std::int64_t matmul_block(std::int64_t rows, std::int64_t depth_tiles, std::int64_t column_tiles);

/// Inputs: input_tensor_a (tiles along the depth), weight (the same of one column), then bias and residual (one tile
/// each) where there are; output (one tile). Between blocks partial sums go through L1 in TT-NN's intermediate format;
/// with packer_l1_acc the packer adds them there.
Decomposition matmul_units(const MatmulUnits& matmul);

} // namespace tessera::ops
