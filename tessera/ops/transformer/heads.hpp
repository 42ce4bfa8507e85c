#pragma once

#include "tessera/ops/op.hpp"

namespace tessera::ops {

struct QkvHeads {
  Tensor q;
  Tensor k;
  Tensor v;
};

struct CreateHeadsOptions {
  std::int64_t num_heads = 0;
  std::int64_t num_kv_heads = 0;
  std::int64_t batch_size = 1;                   ///< prefill: sequences whose rows follow each other
  MemoryConfig memory_config = kDramInterleaved; ///< in decode HEIGHT_SHARDED
};

/// Splits the fused projection of B sequences: [1, 1, B S, (Hq + 2 Hkv) D] -> q [B, Hq, S, D], k and v [B, Hkv, S, D].
QkvHeads nlp_create_qkv_heads(const Tensor& input_tensor, const CreateHeadsOptions& options);
/// The same in decode, a user on each row: [1, 1, B, (Hq + 2 Hkv) D] -> q [1, B, Hq, D], k and v [1, B, Hkv, D].
/// As in TT-NN the input is interleaved or WIDTH_SHARDED, and each user's heads lie on a core: memory_config is
/// HEIGHT_SHARDED, with a grid of B cores or more or without a ShardSpec. Of a ShardSpec only the grid counts:
/// the shards of q and those of k and v may differ in height.
QkvHeads nlp_create_qkv_heads_decode(const Tensor& input_tensor, const CreateHeadsOptions& options);

/// Joins heads: [B, H, S, D] -> [1, 1, B S, H D].
Tensor nlp_concat_heads(const Tensor& input_tensor);
/// The same in decode: [1, B, H, D] HEIGHT_SHARDED -> [1, 1, B, H D] WIDTH_SHARDED, a head on a core where D is whole
/// tiles.
Tensor nlp_concat_heads_decode(const Tensor& input_tensor);

} // namespace tessera::ops
