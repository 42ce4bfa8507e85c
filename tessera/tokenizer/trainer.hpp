#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace tessera::tokenizer {

/// Trains a byte-level BPE tokenizer in Llama 3's style (its Split expression, ByteLevel, no normalizer) and returns
/// the text of its tokenizer.json.
///
/// Ids: 0..255 the bytes, then the merged tokens in the order learned, then `special_tokens`, whose first one the
/// template puts before every text as BOS. `vocab_size` counts all three; the result has fewer tokens when no pair is
/// left that occurs twice. Equal input gives equal output on every machine. Throws InvalidArgument for texts or special
/// tokens that are not UTF-8, for a `vocab_size` without room for bytes and special tokens, and for special tokens that
/// are empty, repeated or equal to a learned token.
std::string train_byte_level_bpe(std::span<const std::string> texts, std::size_t vocab_size,
                                 std::span<const std::string> special_tokens);

} // namespace tessera::tokenizer
