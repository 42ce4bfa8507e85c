#pragma once

#include "tessera/ops/op.hpp"

namespace tessera::ops {

/// Rows first, first + step, ... below last of every matrix: input_tensor [..., R, E] TILE -> [..., rows taken, E] in
/// the same format and place. Throws InvalidArgument unless 0 <= first < last <= R and step is 1 or more.
Tensor slice_rows(const Tensor& input_tensor, std::int64_t first, std::int64_t last, std::int64_t step = 1);

/// The `rows` rows from that on which `first`, INT32 [1] in ROW_MAJOR, names when the op runs: a trace replays with
/// others. Throws InvalidArgument unless 1 <= rows <= R; a first row outside 0 .. R - rows fails on the queue.
Tensor slice_rows(const Tensor& input_tensor, const Tensor& first, std::int64_t rows);

/// Columns first .. last of every matrix: input_tensor [..., R, E] TILE -> [..., R, last - first] in the same place. In
/// the same format too: a block format rounds once more unless `first` begins a tile. Throws InvalidArgument unless
/// 0 <= first < last <= E.
Tensor slice_columns(const Tensor& input_tensor, std::int64_t first, std::int64_t last);

} // namespace tessera::ops
