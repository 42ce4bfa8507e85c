#pragma once

#include <cstdint>
#include <optional>

#include "tessera/ops/op.hpp"

namespace tessera::ops {

struct AttentionOptions {
  float scale = 1.0F;
  /// Position i attends to i - sliding_window_size + 1 .. i; 0: to all before it.
  std::int64_t sliding_window_size = 0;
  /// A scaled score s becomes softcap * tanh(s / softcap) (Gemma Team, "Gemma 2"); 0: it stays.
  float softcap = 0.0F;
  /// [1, 1, Hq, positions] FLOAT32 in ROW_MAJOR, positions in whole tiles: what a head adds to the scores of each key
  /// (Press et al., "Train Short, Test Long: Attention with Linear Biases"). None: nothing.
  Tensor key_bias = {};
  /// scaled_dot_product_attention only, not causal: [B, 1, 1, positions] FLOAT32 in ROW_MAJOR, positions in whole
  /// tiles: what all queries of a sequence add to the scores of each key, a large negative number for padding. TT-NN's
  /// mask of S equal rows. None: nothing.
  Tensor attn_mask = {};
  /// scaled_dot_product_attention only: a position attends to none after itself. Else to all, and there is no window.
  bool is_causal = true;
  /// HiFi4 and a 32-bit Dst by default. The exponential is never the approximate one.
  std::optional<ComputeConfig> compute_kernel_config = {};
};

/// softmax(scale q k^T) v of whole sequences, by FlashAttention's blocks, query heads grouped over KV heads:
/// q [B, Hq, S, D], k and v [B, Hkv, S, D], TILE -> [B, Hq, S, D]. Hq is a multiple of Hkv.
Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options);

/// One new position of each user against the paged cache: q [1, B, Hq, D] TILE, caches [blocks, Hkv, block_size, D]
/// TILE, cur_pos [B] INT32 (the position of q, already in the cache; -1: idle user, whose rows come out zero),
/// page_table [B, blocks of a user] INT32 -> [1, B, Hq, D]. A user's result depends on its own cache alone.
Tensor paged_scaled_dot_product_attention_decode(const Tensor& q, const Tensor& k_cache, const Tensor& v_cache,
                                                 const Tensor& cur_pos, const Tensor& page_table,
                                                 const AttentionOptions& options);

} // namespace tessera::ops
