#include "tessera/ops/matmul/matmul_units.hpp"

#include <numeric>

#include "tessera/ops/eltwise/eltwise_units.hpp"

namespace tessera::ops {
namespace {

constexpr std::int64_t kMostBlock = 8;
constexpr std::int64_t kMostCores = 64;
constexpr std::int64_t kGridRows = 8;

std::int64_t largest_divisor(std::int64_t number, std::int64_t most) {
  std::int64_t divisor = std::min(number, most);
  while (number % divisor != 0) --divisor;
  return divisor;
}

/// What partial sums are packed in between blocks.
DataType partial_format(const MatmulUnits& matmul, bool accumulates) {
  if (matmul.compute.fp32_dest_acc_en) return DataType::FLOAT32;
  return accumulates ? DataType::BFLOAT16 : matmul.output;
}

} // namespace

std::int64_t matmul_block(std::int64_t rows, std::int64_t depth_tiles, std::int64_t column_tiles) {
  const bool decode = rows <= kTileHeight;
  const std::int64_t cores = decode ? largest_divisor(std::gcd(depth_tiles, column_tiles), kMostCores)
                                    : (depth_tiles % kGridRows == 0 ? kGridRows : 1);
  return largest_divisor(depth_tiles / cores, kMostBlock);
}

Decomposition matmul_units(const MatmulUnits& matmul) {
  const std::int64_t blocks = matmul.depth / matmul.block;
  const bool bias = matmul.has_bias;
  const bool accumulates = matmul.compute.packer_l1_acc && blocks > (bias ? 1 : 2);
  KernelBuilder k(matmul.compute);
  const TilesAt a = k.input("input_tensor_a", matmul.input);
  const TilesAt w = k.input_tile("weight", matmul.weight);
  const TilesAt b = bias ? k.input_tile("bias", matmul.bias) : TilesAt(-1);
  const TilesAt residual = matmul.has_residual ? k.input("residual", matmul.residual) : TilesAt(-1);
  const TilesAt out = k.output("output", matmul.output);
  const TilesAt partials = k.intermediate("partials", partial_format(matmul, accumulates), 1);
  const TilesAt product = k.intermediate("product", matmul.output, 1);

  const auto multiply_block = [&](const TileNumber& block) {
    k.loop(matmul.block,
           [&](const TileNumber& i) { k.matmul(a[block * matmul.block + i], w[block * matmul.block + i]); });
  };
  const auto finish = [&] { // what is in Dst
    if (matmul.has_residual) {
      k.pack(product[0]);
      k.acquire();
      k.add(product[0], residual[0]);
    }
    if (matmul.activation != Activation::NONE) k.function(function_of(matmul.activation));
    k.pack(out[0]);
  };

  // Blocks whose sums end in L1: all where a bias comes after them, else all but the last.
  const std::int64_t spilled = bias ? blocks : blocks - 1;
  if (spilled > 0) {
    k.acquire();
    multiply_block(0);
    k.pack(partials[0]);
    if (spilled > 1) {
      k.loop(spilled - 1, [&](const TileNumber& i) {
        k.acquire();
        if (!accumulates) k.copy(partials[0]);
        multiply_block(i + 1);
        if (accumulates)
          k.pack_accumulate(partials[0]);
        else
          k.pack(partials[0]);
      });
    }
  }
  k.acquire();
  if (bias) {
    k.add(partials[0], b[0], Broadcast::ROW);
  } else {
    if (spilled > 0) k.copy(partials[0]);
    multiply_block(blocks - 1);
  }
  finish();
  return k.finish();
}

} // namespace tessera::ops
