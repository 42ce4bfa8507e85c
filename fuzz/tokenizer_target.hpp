#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "tessera/base/error.hpp"
#include "tessera/tokenizer/stream_decoder.hpp"
#include "tessera/tokenizer/tokenizer.hpp"

namespace tessera::fuzz {

/// Reads `json` as a tokenizer.json, then encodes a text, decodes its ids at once and as a stream, and compares the
/// two; encodes a pair. True when it was read, false when it was refused with one of Tessera's errors on one line; any
/// other exception, and any finding of a sanitizer, is a bug.
inline bool read_and_use_tokenizer(std::string_view json) {
  bool read = false;
  try {
    const auto tokenizer = tokenizer::Tokenizer::parse(json, "fuzz");
    read = true;
    const auto ids = tokenizer.encode("<s> aB 12,,xx\t\u00E9e\u0301 <s>", true);
    tokenizer::StreamDecoder stream(tokenizer);
    std::string streamed;
    for (const auto id : ids) streamed += stream.push(id);
    streamed += stream.finish();
    if (streamed != tokenizer.decode(ids)) throw std::logic_error("the streamed text differs from the decoded one");
    const auto both = tokenizer.encode_texts("aB", "12 <s>");
    if (both.ids.size() != both.type_ids.size()) throw std::logic_error("tokens and their types differ in number");
  } catch (const base::Error& error) { // using a tokenizer can fail too, on a pattern that takes too many steps
    if (std::string_view(error.what()).find('\n') != std::string_view::npos) {
      throw std::logic_error("a message of several lines: " + std::string(error.what()));
    }
  }
  return read;
}

} // namespace tessera::fuzz
