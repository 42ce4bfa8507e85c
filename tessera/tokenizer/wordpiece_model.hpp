#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/tokenizer/model.hpp"

namespace tessera::tokenizer {

/// WordPiece of one word (Schuster and Nakajima, "Japanese and Korean Voice Search"; BERT): again and again the longest
/// token that the rest of the word begins with, those inside the word under their name with a prefix. A word that
/// cannot be cut up to its end is the unknown token as a whole. Immutable.
class WordPieceModel final : public Model {
 public:
  /// Reads the `model` object of a tokenizer.json. Throws InvalidArgument for a broken model.
  explicit WordPieceModel(const JsonNode& node);

  /// Throws InvalidArgument for a word that is unknown where the vocabulary lacks the unknown token, as Hugging Face.
  void encode(std::string_view piece, std::vector<std::int32_t>& out) const override;

 private:
  /// The longest token at `begin`, and its end; nothing where there is none.
  struct Found {
    std::int32_t id;
    std::size_t end;
  };
  std::optional<Found> longest_at(std::string_view word, std::size_t begin) const;
  void append_unknown(std::string_view word, std::vector<std::int32_t>& out) const;

  std::string unknown_ = "[UNK]";
  std::optional<std::int32_t> unknown_id_;
  std::string prefix_ = "##";
  std::size_t max_characters_ = 100; // a longer word is unknown
  std::size_t longest_token_ = 0;    // in bytes, without prefix
};

} // namespace tessera::tokenizer
