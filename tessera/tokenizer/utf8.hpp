#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tessera::tokenizer {

/// Reads the character at byte `pos` and moves `pos` behind it. REQUIRES: `text` is valid UTF-8, `pos < text.size()`.
char32_t next_char(std::string_view text, std::size_t& pos) noexcept;

/// Appends `c` as UTF-8.
void append_utf8(std::string& out, char32_t c);

/// The byte offset of the first byte that is not valid UTF-8, or `npos` (Unicode 15 table 3-7: no overlong forms, no
/// surrogates, nothing above U+10FFFF).
std::size_t find_invalid_utf8(std::string_view text) noexcept;

/// Number of bytes of the character whose first byte is `lead`. REQUIRES: `lead` starts a valid character.
std::size_t utf8_length(char lead) noexcept;

/// Turns a stream of bytes into valid UTF-8: each maximal ill-formed part becomes one U+FFFD (Unicode 15 section 3.9,
/// "substitution of maximal subparts"). A character is handed out when its last byte has come, never before.
class LossyUtf8 {
 public:
  /// Text that is certain after these bytes.
  std::string push(std::string_view bytes);
  /// What an unfinished character at the end stands for: U+FFFD or nothing. The stream starts anew.
  std::string finish();

 private:
  std::string pending_; // the bytes of a character that has not ended
};

} // namespace tessera::tokenizer
