#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/tokenizer/encoding.hpp"

namespace tessera::tokenizer {

class Decoder;

/// A Hugging Face tokenizer.json, or the vocab.txt of an old BERT: text to token ids and back. Immutable and cheap to
/// copy; all const calls may be made by several threads at once.
class Tokenizer {
 public:
  /// Reads a tokenizer.json, or the one in a folder; in a folder without one, BERT's vocab.txt and
  /// tokenizer_config.json (wordpiece_document). Throws IoError when it is absent, unreadable or not JSON, Unsupported
  /// (naming the known types) for components that are not built, InvalidArgument for a broken tokenizer.
  static Tokenizer load(const std::filesystem::path& dir_or_json);
  /// Reads the text of a tokenizer.json; `name` stands for it in messages. Throws as `load`.
  static Tokenizer parse(std::string_view json, std::string name);

  /// Token ids of `text`. Added tokens that occur in the text are matched. `add_special_tokens` applies the
  /// post-processor, which adds BOS and the like where the tokenizer does. Throws InvalidArgument, naming the byte,
  /// when `text` is not UTF-8.
  std::vector<std::int32_t> encode(std::string_view text, bool add_special_tokens) const;

  /// The same for one text or two, with the special tokens and with what tells the texts apart. Throws as encode, and
  /// InvalidArgument for two texts where the post-processor has no template for them.
  Encoding encode_texts(std::string_view text, std::optional<std::string_view> text_pair = {}) const;

  /// Text of `ids`, special tokens kept unless told otherwise, spaces as they come. Bytes that do not form characters
  /// become U+FFFD. Throws InvalidArgument for an id that names no token.
  std::string decode(std::span<const std::int32_t> ids, bool skip_special_tokens = false) const;

  /// Largest id + 1. There may be gaps below: see `has_id`.
  std::size_t vocab_size() const;
  bool has_id(std::int32_t id) const;
  /// Whether `id` is an added token marked special.
  bool is_special(std::int32_t id) const;
  /// The id of a token as the vocabulary spells it ("Ġthe", "▁the", "<s>").
  std::optional<std::int32_t> token_to_id(std::string_view token) const;
  /// The vocabulary's spelling of a token. Throws InvalidArgument for an id that names no token.
  const std::string& id_to_token(std::int32_t id) const;

 private:
  friend class StreamDecoder;
  struct Parts;

  explicit Tokenizer(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}
  std::vector<std::int32_t> encode_plain(std::string_view text) const;
  const Decoder& decoder() const;

  std::shared_ptr<const Parts> parts_;
};

} // namespace tessera::tokenizer
