#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "tessera/tokenizer/stream_decoder.hpp"
#include "tessera/tokenizer/tokenizer.hpp"

namespace tessera::cli {

/// What is generated, as it comes, to standard output: text in whole characters, or ids with spaces between them.
class TokenStream {
 public:
  /// Without a tokenizer the stream is ids. A silent one only remembers.
  TokenStream(const std::optional<tokenizer::Tokenizer>& tokenizer, std::span<const std::int32_t> prompt, bool silent);

  void push(std::int32_t id);
  /// Ends the line.
  void finish();
  const std::string& text() const { return text_; }

 private:
  void write(const std::string& piece);

  bool silent_;
  std::optional<tokenizer::StreamDecoder> decoder_;
  std::string text_;
};

} // namespace tessera::cli
