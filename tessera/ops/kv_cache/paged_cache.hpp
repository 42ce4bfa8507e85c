#pragma once

#include "tessera/ops/op.hpp"

namespace tessera::ops {

/// Writes a prompt's keys (or values) into the pages of one user: input [1, Hkv, S, D] TILE, cache [blocks, Hkv,
/// block_size, D] TILE, page_table [B, blocks of a user] INT32. Position p goes to row p mod block_size of block
/// page_table[batch_idx, p / block_size]; an entry of -1 skips its block. Values are rounded to the cache's format.
void paged_fill_cache(const Tensor& cache, const Tensor& input, const Tensor& page_table, std::int64_t batch_idx);
/// The same for the user that `batch_idx`, INT32 [1] in ROW_MAJOR, names when the op runs (TT-NN: batch_idx_tensor): a
/// trace replays with others. One outside 0 .. B - 1 fails on the queue.
void paged_fill_cache(const Tensor& cache, const Tensor& input, const Tensor& page_table, const Tensor& batch_idx);

/// Writes one position of each user: input [1, B, Hkv, D] TILE, update_idxs [B] INT32 (the position; -1: idle user,
/// skipped).
void paged_update_cache(const Tensor& cache, const Tensor& input, const Tensor& update_idxs, const Tensor& page_table);

} // namespace tessera::ops
