#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "tessera/tokenizer/tokenizer.hpp"

namespace tessera::tokenizer {

/// Turns ids into text while they are generated. What the calls return, joined, equals `Tokenizer::decode` of all ids;
/// each return value is whole UTF-8 characters. Text that later ids could still change is held back: a character whose
/// bytes have not all come, a run of byte tokens that goes on. One stream is used by one thread at a time.
class StreamDecoder {
 public:
  explicit StreamDecoder(Tokenizer tokenizer, bool skip_special_tokens = false);
  ~StreamDecoder();
  StreamDecoder(StreamDecoder&&) noexcept;
  StreamDecoder& operator=(StreamDecoder&&) noexcept;

  /// The text that is certain after `id`, often empty. Throws InvalidArgument for an id that names no token.
  std::string push(std::int32_t id);
  /// What was held back. Nothing may be pushed afterwards.
  std::string finish();

 private:
  Tokenizer tokenizer_;
  std::unique_ptr<Decoder> decoder_;
  bool skip_special_tokens_;
};

} // namespace tessera::tokenizer
