#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "tessera/tokenizer/json_node.hpp"
#include "tessera/tokenizer/normalizer.hpp"
#include "tessera/tokenizer/regex.hpp"
#include "tessera/tokenizer/vocabulary.hpp"

namespace tessera::tokenizer {

/// A token that is matched in the text itself, before the model sees it.
struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool single_word = false; // matches only where no word character touches it
  bool lstrip = false;      // swallows the whitespace before it
  bool rstrip = false;      // swallows the whitespace behind it
  bool normalized = false;  // is looked for in the normalized text, with its content normalized too
  bool special = false;     // can be skipped when decoding
};

/// A part of a text that is an added token (`id` >= 0), or what lies between them (`id` = -1).
struct TokenOrText {
  std::int32_t id;
  Range range;
};

/// The added tokens of a tokenizer.json and the search for them. Immutable.
class AddedTokens {
 public:
  /// Reads the array `added_tokens`. Throws InvalidArgument for wrong fields, for two tokens of one id, and where a
  /// token contradicts `model` (another id there, or its id names another token).
  AddedTokens(const JsonNode& node, const Vocabulary& model, const Normalizer* normalizer);

  /// Splits `text` at the tokens that are looked for in the text as given.
  std::vector<TokenOrText> split_raw(std::string_view text) const { return split(text, raw_); }
  /// Splits `text` at the tokens that are looked for in normalized text.
  std::vector<TokenOrText> split_normalized(std::string_view text) const { return split(text, normalized_); }

  const Vocabulary& vocabulary() const { return vocabulary_; }
  bool is_special(std::int32_t id) const { return special_ids_.contains(id); }

 private:
  // A set of byte strings searched for leftmost, then longest.
  struct Trie {
    struct Node {
      std::map<char, std::int32_t> children;
      std::int32_t token = -1; // index into tokens_ of the string that ends here
    };
    std::vector<Node> nodes{1};

    void insert(std::string_view content, std::int32_t token);
    /// The longest string at `pos`: its token and end; token -1 when there is none.
    struct Found {
      std::int32_t token = -1;
      std::size_t end = 0;
    };
    Found longest_at(std::string_view text, std::size_t pos) const;
  };

  std::vector<TokenOrText> split(std::string_view text, const Trie& trie) const;

  std::vector<AddedToken> tokens_;
  Vocabulary vocabulary_;
  std::unordered_set<std::int32_t> special_ids_;
  Trie raw_;
  Trie normalized_;
};

} // namespace tessera::tokenizer
