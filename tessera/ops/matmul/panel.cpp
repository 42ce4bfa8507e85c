#include "tessera/ops/matmul/panel.hpp"

#include <algorithm>

#include "tessera/runtime/thread_scratch.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::ops {
namespace {

using Arithmetic = Panel::Arithmetic;

constexpr std::int64_t kCacheLine = 64;
constexpr std::int64_t kUnitBytes = 256 << 10; // weights of one unit
constexpr std::int64_t kLeastUnits = 8;
constexpr std::int64_t kPair = 2;
// Rows up to which a pair of columns is multiplied together, in one pass over memory.
constexpr std::int64_t kFewRows = 4;

Arithmetic choose(DataType activations, DataType weights, MathFidelity fidelity, std::int64_t rows) {
  if (activations == DataType::FLOAT32 || weights == DataType::FLOAT32 || weights == DataType::BFLOAT2_B)
    return Arithmetic::FP32;
  const bool lofi = fidelity == MathFidelity::LoFi && weights == DataType::BFLOAT4_B;
  return lofi && rows >= kernels::kernels().int8_least_rows ? Arithmetic::INT8 : Arithmetic::BF16;
}

std::int64_t bytes_of_tile(Arithmetic arithmetic) {
  const kernels::Kernels& isa = kernels::kernels();
  switch (arithmetic) {
    case Arithmetic::INT8:
      return isa.int8_block_bytes;
    case Arithmetic::BF16:
      return kTileWidth * isa.packed_bytes;
    default:
      return kTileWidth * std::int64_t{sizeof(float)};
  }
}

/// The panel times `columns` columns of tiles: block [columns, rows, 32].
void multiply(const std::byte* packed, const Panel& panel, const Extents& extents, const kernels::ConstTiles& weight,
              std::int64_t first, std::int64_t columns, float* block) {
  const kernels::Kernels& isa = kernels::kernels();
  if (panel.arithmetic != Arithmetic::FP32) {
    const auto function =
        panel.arithmetic == Arithmetic::INT8 ? isa.matmul_int8_tile_columns : isa.matmul_bf16_tile_columns;
    return function(packed, panel.row_bytes, extents.rows, extents.padded_depth, weight, first, columns, block);
  }
  for (std::int64_t c = 0; c < columns; ++c) {
    isa.matmul_tile_column(reinterpret_cast<const float*>(packed), panel.row_bytes / std::int64_t{sizeof(float)},
                           extents.rows, extents.padded_depth, weight, first + c,
                           block + c * extents.rows * kTileWidth);
  }
}

/// Brings the tiles of the output near while the weights stream by, which drive them out of the cache at each step.
/// With few rows, most of the bytes written are padding.
void expect_writes(const ProductEnd& output, std::int64_t first, std::int64_t columns) {
  const kernels::Tiles& out = output.tiles;
  const std::int64_t bytes = tile_bytes(out.dtype);
  for (std::int64_t column = first; column < first + columns; ++column) {
    const std::byte* tile = out.data + tile_position(out.tile_rows, out.tile_columns, output.tile_row, column) * bytes;
    for (std::int64_t line = 0; line < bytes; line += 64) __builtin_prefetch(tile + line, 1);
  }
}

} // namespace

Panel::Panel(DataType activations, DataType weights, MathFidelity fidelity, const Extents& extents)
    : arithmetic(choose(activations, weights, fidelity, extents.rows)),
      tile_bytes(bytes_of_tile(arithmetic)),
      // A cache line more than the values: rows a power of two apart would share their sets of the cache.
      row_bytes(extents.padded_depth / kTileWidth * tile_bytes + kCacheLine) {}

void pack_values(const Panel& panel, const float* values, std::byte* out) {
  const kernels::Kernels& isa = kernels::kernels();
  switch (panel.arithmetic) {
    case Arithmetic::INT8:
      return isa.pack_int8(values, kTileWidth, out);
    case Arithmetic::BF16:
      return isa.pack_bf16(values, kTileWidth, out);
    case Arithmetic::FP32:
      std::copy_n(values, kTileWidth, reinterpret_cast<float*>(out));
  }
}

std::int64_t tile_columns_of_unit(const TensorSpec& weight) {
  const std::int64_t column_bytes = weight.tile_rows() * tile_bytes(weight.dtype);
  const std::int64_t most = std::max<std::int64_t>(1, weight.tile_columns() / kLeastUnits);
  // Whole pairs: their tiles stand in turn in memory.
  return round_up(std::clamp<std::int64_t>(kUnitBytes / column_bytes, 1, most), kPair);
}

void pack_tile(const Panel& panel, const kernels::ConstTiles& tiles, const TileAt& tile, std::byte* out) {
  if (panel.arithmetic == Arithmetic::BF16) {
    return kernels::kernels().pack_bf16_tile(tiles, tile.row, tile.column, tile.rows, kTileWidth, out, panel.row_bytes);
  }
  float* const values = runtime::thread_scratch(kTileElements);
  load_tile_rows(tiles, tile.row, tile.column, tile.rows, values);
  for (std::int64_t row = 0; row < tile.rows; ++row, out += panel.row_bytes)
    pack_values(panel, values + row * kTileWidth, out);
}

void finish_column(const ProductEnd& end, std::int64_t column, std::int64_t rows, float* sums) {
  const kernels::Kernels& isa = kernels::kernels();
  alignas(kCacheLine) float bias[kTileWidth];
  kernels::ProductColumn product{.sums = sums, .rows = rows, .relu = end.activation == Activation::RELU};
  if (end.bias.data != nullptr) {
    isa.load_row(end.bias, 0, column * kTileWidth, kTileWidth, bias);
    product.bias = bias;
  }
  product.residual = end.residual;
  if (end.activation == Activation::NONE || product.relu)
    return isa.store_product(end.tiles, end.tile_row, column, product);
  // Other functions run over fp32 values: of a tile at a time, which stays near.
  alignas(kCacheLine) float other[kTileElements];
  alignas(kCacheLine) float bias_tile[kTileElements];
  for (std::int64_t row = 0; row < std::min(rows, kTileHeight) && product.bias != nullptr; ++row)
    std::copy_n(bias, kTileWidth, bias_tile + row * kTileWidth);
  for (std::int64_t row = 0; row < rows; row += kTileHeight) {
    const std::int64_t height = std::min(kTileHeight, rows - row);
    const std::int64_t count = height * kTileWidth;
    float* const values = sums + row * kTileWidth;
    if (product.bias != nullptr) isa.add(values, bias_tile, count, values);
    if (end.residual.data != nullptr) {
      load_tile_rows(end.residual, end.tile_row + row / kTileHeight, column, height, other);
      isa.add(values, other, count, values);
    }
    apply(end.activation, count, values);
    isa.store_tile(end.tiles, end.tile_row + row / kTileHeight, column, height, values, kTileWidth);
  }
}

void multiply_columns(const std::byte* packed, const Panel& panel, const Extents& extents,
                      const kernels::ConstTiles& weight, const ProductEnd& end, std::int64_t first, std::int64_t last) {
  const std::int64_t rows = extents.rows;
  const std::int64_t together = rows <= kFewRows ? last - first : 1;
  float* const block = runtime::thread_scratch(together * rows * kTileWidth);
  for (; first < last; first += together) {
    const std::int64_t count = std::min(together, last - first);
    if (rows <= kFewRows) expect_writes(end, first, count);
    multiply(packed, panel, extents, weight, first, count, block);
    for (std::int64_t c = 0; c < count; ++c) finish_column(end, first + c, rows, block + c * rows * kTileWidth);
  }
}

} // namespace tessera::ops
