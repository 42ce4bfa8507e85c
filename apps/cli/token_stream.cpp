#include "apps/cli/token_stream.hpp"

#include <fmt/format.h>

#include "apps/cli/standard_streams.hpp"

namespace tessera::cli {

TokenStream::TokenStream(const std::optional<tokenizer::Tokenizer>& tokenizer, std::span<const std::int32_t> prompt,
                         bool silent)
    : silent_(silent) {
  if (!tokenizer) return;
  decoder_.emplace(*tokenizer, true);
  // The text goes on from the prompt's: a decoder that strips a leading space must not strip the continuation's.
  for (const std::int32_t id : prompt) decoder_->push(id);
}

void TokenStream::push(std::int32_t id) {
  write(decoder_ ? decoder_->push(id) : fmt::format("{}{}", text_.empty() ? "" : " ", id));
}

void TokenStream::finish() {
  if (decoder_) write(decoder_->finish());
  if (!silent_) write_standard_output("\n");
}

void TokenStream::write(const std::string& piece) {
  text_ += piece;
  if (!silent_ && !piece.empty()) write_standard_output(piece);
}

} // namespace tessera::cli
