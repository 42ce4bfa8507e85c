#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tessera/tokenizer/json_node.hpp"
#include "tessera/tokenizer/merge_table.hpp"
#include "tessera/tokenizer/model.hpp"

namespace tessera::tokenizer {

/// Byte-pair encoding of one piece of text (Sennrich et al. 2016): start from characters, then apply the merge of
/// lowest rank, leftmost first, until none applies. Covers byte-level models (the characters are the byte alphabet) and
/// SentencePiece-style ones (byte fallback, unknown token). Immutable.
class BpeModel final : public Model {
 public:
  /// Reads the `model` object of a tokenizer.json. Throws Unsupported for options that change the ids and are not built
  /// (dropout, subword prefix and suffix); InvalidArgument for a broken model.
  explicit BpeModel(const JsonNode& node);

  /// Appends the ids of `piece` (valid UTF-8). A character that the vocabulary lacks becomes its byte tokens, else the
  /// unknown token, else nothing: the order in which Hugging Face tries.
  void encode(std::string_view piece, std::vector<std::int32_t>& out) const override;

 private:
  struct Symbol {
    std::int32_t id; // -1: merged into its left neighbour
    std::int32_t previous;
    std::int32_t next; // index of the neighbour, -1 at the ends
  };

  void read_merges(const JsonNode& node);
  void read_characters();
  std::vector<std::int32_t> characters_to_ids(std::string_view piece) const;
  void append_bytes_or_unknown(std::string_view character, bool& last_was_unknown,
                               std::vector<std::int32_t>& ids) const;
  void merge(std::vector<Symbol>& symbols) const;

  MergeTable merges_;
  std::unordered_map<char32_t, std::int32_t> character_ids_;
  std::array<std::int32_t, 256> byte_ids_; // of "<0x00>" .. "<0xFF>", -1 where absent; used with byte_fallback_
  std::optional<std::int32_t> unknown_id_;
  bool fuse_unknown_ = false;
  bool byte_fallback_ = false;
  bool ignore_merges_ = false;
};

} // namespace tessera::tokenizer
