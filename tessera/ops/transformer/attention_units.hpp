#pragma once

#include <cstdint>

#include "tessera/ops/transformer/attention_work.hpp"
#include "tessera/spec/decomposition.hpp"

// Attention as the card's units compute it: FlashAttention over chunks of keys, each step packed to L1. Private to this
// folder.

namespace tessera::ops {

struct AttentionFormats {
  DataType q = DataType::BFLOAT16;
  DataType k = DataType::BFLOAT16;
  DataType v = DataType::BFLOAT16;
  DataType output = DataType::BFLOAT16;
};

/// Tiles of keys in a chunk, as tt_transformers configures it: of a prompt 64 keys below 2048 positions, else 256; in
/// decode 128.
std::int64_t prefill_chunk(std::int64_t length);
inline constexpr std::int64_t kDecodeChunk = 4;

/// Inputs: q (columns of head_dim), k transposed and v (tile t * columns + c, t counted from the first key tile), mask
/// (what is added to the scores of key tile t), scaler (1), lowest (-Inf); output. The work's first count is the number
/// of chunks.
Decomposition attention_units(const AttentionRule& rule, std::int64_t columns, std::int64_t chunk,
                              const AttentionFormats& formats);

AttentionStages prefill_exactly(const PrefillWork& work, const AttentionFormats& formats, const ArchSpec& arch);
AttentionStages decode_exactly(const DecodeWork& work, const AttentionFormats& formats, const ArchSpec& arch);

} // namespace tessera::ops
