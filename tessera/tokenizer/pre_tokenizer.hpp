#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tessera/tokenizer/json_node.hpp"

namespace tessera::tokenizer {

/// A part of the text on its way to the model.
struct Piece {
  std::string text;           // valid UTF-8, not empty
  bool at_text_start = false; // begins where the whole text begins
};

/// Cuts pieces into smaller ones; merges never cross a cut. Immutable.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(std::vector<Piece>& pieces) const = 0;
};

/// Builds the pre-tokenizer of a tokenizer.json; nullptr for a null node. Known: Sequence, ByteLevel, Split, Digits,
/// Punctuation, Metaspace, Whitespace, WhitespaceSplit, BertPreTokenizer. Throws Unsupported for others,
/// InvalidArgument for wrong fields.
std::unique_ptr<PreTokenizer> make_pre_tokenizer(const JsonNode& node);

} // namespace tessera::tokenizer
