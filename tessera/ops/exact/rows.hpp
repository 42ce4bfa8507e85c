#pragma once

#include <cstdint>
#include <memory>

#include "tessera/ops/exact/engine.hpp"
#include "tessera/ops/exact/kernel_builder.hpp"
#include "tessera/ops/op.hpp"

// What ops need beside their compute kernels: readers and writers of tensors, and stages over rows.

namespace tessera::ops {

/// Whether a device computes as the card does.
inline bool is_exact(const runtime::MeshDevice& device) {
  return device.numerics() == runtime::Numerics::EXACT;
}

/// A kernel of no steps: bytes are moved, and what they mean does not change.
std::shared_ptr<const Decomposition> movement();
/// The same for integer code and comparisons of the small cores.
std::shared_ptr<const Decomposition> scalar_code();

inline std::shared_ptr<const Decomposition> shared(Decomposition kernel) {
  return std::make_shared<const Decomposition>(std::move(kernel));
}

/// The rows of the work, in column `tile` of tiles.
TileIo::Reader read_rows(DeviceView view);
/// Tile `tile` down the work's column: weights.
TileIo::Reader read_column(DeviceView view);
/// Tile `tile` of row 0 of tiles: parameters, of which only the first row counts.
TileIo::Reader read_parameters(DeviceView view);
/// The same, or tiles full of `otherwise` where there is no tensor.
TileIo::Reader read_parameters(const Tensor& parameters, float otherwise);
/// Ones in the first `width` columns, then zeros.
TileIo::Reader read_mask(std::int64_t width);
/// Tiles full of one number, as BFLOAT16 holds it.
TileIo::Reader read_constant(float value);
/// The rows of the work in column `tile` of tiles; what is below the last row of the matrix becomes zero.
TileIo::Writer write_rows(DeviceView view);
/// The same in the work's column of tiles.
TileIo::Writer write_column(DeviceView view);

/// Each row of tiles of each of `output`'s matrices.
runtime::Stage exact_rows(const Tensor& output, Decomposition kernel, TileIo io);
/// Each column of tiles of blocks of rows of `output`, one matrix: a matmul's. As many rows as pay for unpacking the
/// weights.
runtime::Stage exact_columns(const Tensor& output, Decomposition kernel, TileIo io);

/// copy: unpacks tiles and packs them in another format.
Decomposition copy_units(DataType from, DataType to, std::int64_t columns);
/// Of ops that move values from one format to another, which may be the same.
std::shared_ptr<const Decomposition> movement(DataType from, DataType to, std::int64_t columns);
/// What copy_units does to `count` values of a row, for ops that move rows and change their format on the way.
/// REQUIRES: the row begins a group of 16; memory behind the values up to a whole group is ours.
void round_as_packed(DataType from, DataType to, std::int64_t count, float* values);

/// The arithmetic of element-wise ops without a compute config of their own: all bits, and a 32-bit Dst where an
/// operand or the result has 32.
ComputeConfig element_wise_config(std::initializer_list<DataType> formats);

} // namespace tessera::ops
