#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace tessera::tokenizer {

/// GPT-2's one-to-one mapping between the 256 bytes and 256 printable characters (openai/gpt-2, `bytes_to_unicode`):
/// the printable bytes of Latin-1 stand for themselves, the others for U+0100 and up, in order.
class ByteAlphabet {
 public:
  static const ByteAlphabet& instance();

  /// The character of `byte`, as UTF-8.
  const std::string& symbol(unsigned char byte) const { return symbols_[byte]; }
  /// All bytes of `text` as characters.
  std::string encode(std::string_view text) const;
  /// The bytes that `token` stands for, or nothing when it holds a character outside the alphabet.
  std::optional<std::string> decode(std::string_view token) const;

 private:
  ByteAlphabet();

  static constexpr std::size_t kLimit = 0x144; // one past the last character in use, U+0143
  std::array<std::string, 256> symbols_;
  std::array<int, kLimit> bytes_; // byte of a character, -1 where the character is not in the alphabet
};

} // namespace tessera::tokenizer
