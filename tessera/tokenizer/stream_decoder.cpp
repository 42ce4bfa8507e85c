#include "tessera/tokenizer/stream_decoder.hpp"

#include <utility>

#include "tessera/tokenizer/decoder.hpp"

namespace tessera::tokenizer {

StreamDecoder::StreamDecoder(Tokenizer tokenizer, bool skip_special_tokens)
    : tokenizer_(std::move(tokenizer)),
      decoder_(std::make_unique<Decoder>(tokenizer_.decoder())),
      skip_special_tokens_(skip_special_tokens) {}

StreamDecoder::~StreamDecoder() = default;
StreamDecoder::StreamDecoder(StreamDecoder&&) noexcept = default;
StreamDecoder& StreamDecoder::operator=(StreamDecoder&&) noexcept = default;

std::string StreamDecoder::push(std::int32_t id) {
  const std::string& token = tokenizer_.id_to_token(id);
  if (skip_special_tokens_ && tokenizer_.is_special(id)) return {};
  return decoder_->push(token);
}

std::string StreamDecoder::finish() {
  return decoder_->finish();
}

} // namespace tessera::tokenizer
