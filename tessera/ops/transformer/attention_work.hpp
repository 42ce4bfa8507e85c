#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tessera/ops/transformer/attention.hpp"

// What the attention ops hand to their two arithmetics: fp32 throughout where an operand is FLOAT32, products of
// bfloat16 everywhere else. Private to this folder.

namespace tessera::ops {

/// AttentionOptions::key_bias or attn_mask.
struct KeyBias {
  DeviceView table;
  std::int64_t positions = 0; ///< 0: none
  std::int64_t heads = 1;     ///< that share a row of the table

  explicit operator bool() const { return positions > 0; }
  /// What a query head adds to key `key` and those behind it.
  const float* at(std::int64_t chip, std::int64_t head, std::int64_t key) const {
    return table.elements<float>(chip) + head / heads * positions + key;
  }
};

/// AttentionOptions without its tensor.
struct AttentionRule {
  float scale = 1.0F;
  float softcap = 0.0F;
  std::int64_t sliding_window_size = 0;
  bool is_causal = true;
  KeyBias key_bias;
  ComputeConfig compute;
};

/// Keys first <= j < last.
struct KeyRange {
  std::int64_t first = 0;
  std::int64_t last = 0;
};

/// Keys that position `position` attends to; none for -1.
inline KeyRange attended_keys(std::int64_t position, const AttentionRule& rule) {
  const std::int64_t window = rule.sliding_window_size;
  return {window > 0 ? std::max<std::int64_t>(0, position - window + 1) : 0, position + 1};
}

/// Heads of all sequences, one after the other.
struct PrefillWork {
  DeviceView q, k, v, output;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t length = 0;
  std::int64_t head_dim = 0;
  int threads = 1; ///< may change how the work is cut into units, never a result
  AttentionRule rule;

  std::int64_t group() const { return heads / kv_heads; }
  /// The keys that a position attends to, and the end of those that positions before `end` do.
  KeyRange keys_of(std::int64_t position) const {
    return rule.is_causal ? attended_keys(position, rule) : KeyRange{0, length};
  }
  std::int64_t end_of_keys(std::int64_t end) const { return rule.is_causal ? end : length; }
};

struct DecodeWork {
  DeviceView q, k, v, output, positions, page_table;
  std::int64_t users = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t blocks = 0;
  std::int64_t block_size = 0;
  std::int64_t table_width = 0;
  int threads = 1; ///< as in PrefillWork
  AttentionRule rule;

  std::int64_t group() const { return heads / kv_heads; }
  std::int64_t capacity() const { return table_width * block_size; }
};

/// A program's stages and the scratch memory that they share.
struct AttentionStages {
  std::vector<runtime::Stage> stages;
  std::int64_t scratch_bytes = 0;
};

AttentionStages prefill_in_fp32(const PrefillWork& work);
AttentionStages prefill_in_bf16(const PrefillWork& work);
AttentionStages decode_in_fp32(const DecodeWork& work);
AttentionStages decode_in_bf16(const DecodeWork& work);

/// The keys that a user's one position attends to. Throws InvalidArgument for a position beyond the cache.
KeyRange decode_keys(const DecodeWork& work, std::int64_t chip, std::int64_t user);

/// Where 32 keys of a user's cache lie.
struct CachePlace {
  std::int64_t matrix = 0;
  std::int64_t tile_row = 0;
};
/// `tile_row` counts from the user's first position. Throws InvalidArgument for a page that the cache lacks.
CachePlace cache_place(const DecodeWork& work, std::int64_t chip, std::int64_t user, std::int64_t kv_head,
                       std::int64_t tile_row);

/// Writes a user's rows [group, stride] of one KV head, and the padding rows with those of the last one.
void store_decoded(const DecodeWork& work, std::int64_t chip, std::int64_t user, std::int64_t kv_head,
                   const float* rows, std::int64_t stride);

} // namespace tessera::ops
