#include "tessera/tokenizer/byte_alphabet.hpp"

#include "tessera/tokenizer/utf8.hpp"

namespace tessera::tokenizer {

ByteAlphabet::ByteAlphabet() {
  bytes_.fill(-1);
  char32_t next_free = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    const char32_t c = printable ? static_cast<char32_t>(byte) : next_free++;
    append_utf8(symbols_[static_cast<std::size_t>(byte)], c);
    bytes_[c] = byte;
  }
}

const ByteAlphabet& ByteAlphabet::instance() {
  static const ByteAlphabet alphabet;
  return alphabet;
}

std::string ByteAlphabet::encode(std::string_view text) const {
  std::string out;
  out.reserve(text.size() * 2);
  for (const char c : text) out += symbol(static_cast<unsigned char>(c));
  return out;
}

std::optional<std::string> ByteAlphabet::decode(std::string_view token) const {
  std::string out;
  for (std::size_t pos = 0; pos < token.size();) {
    const char32_t c = next_char(token, pos);
    if (c >= kLimit || bytes_[c] < 0) return std::nullopt;
    out.push_back(static_cast<char>(bytes_[c]));
  }
  return out;
}

} // namespace tessera::tokenizer
