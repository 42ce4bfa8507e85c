#include "tessera/tokenizer/utf8.hpp"

#include <gtest/gtest.h>

#include "tessera/tokenizer/byte_alphabet.hpp"
#include "tessera/tokenizer/unicode.hpp"

namespace tessera::tokenizer {
namespace {

constexpr auto kValid = std::string_view::npos;

TEST(Utf8, ReadsWhatItWrites) {
  for (const char32_t c : {U'\0', U'a', U'\x7F', U'\x80', U'\x7FF', U'\x800', U'\xFFFD', U'\x10000', U'\x10FFFF'}) {
    std::string text;
    append_utf8(text, c);
    std::size_t pos = 0;
    EXPECT_EQ(next_char(text, pos), c);
    EXPECT_EQ(pos, text.size());
    EXPECT_EQ(find_invalid_utf8(text), kValid);
  }
}

TEST(Utf8, FindsTheFirstInvalidByte) {
  EXPECT_EQ(find_invalid_utf8("a\xC3\xA4\xF0\x9F\x99\x82"), kValid);
  EXPECT_EQ(find_invalid_utf8("ab\xFF"), 2u);
  EXPECT_EQ(find_invalid_utf8("a\xC3"), 1u);            // cut short
  EXPECT_EQ(find_invalid_utf8("\xC0\x80"), 0u);         // overlong
  EXPECT_EQ(find_invalid_utf8("\xE0\x80\x80"), 0u);     // overlong
  EXPECT_EQ(find_invalid_utf8("\xED\xA0\x80"), 0u);     // surrogate
  EXPECT_EQ(find_invalid_utf8("\xF4\x90\x80\x80"), 0u); // above U+10FFFF
  EXPECT_EQ(find_invalid_utf8("\xC3\xA4\x80"), 2u);     // lone continuation
}

TEST(LossyUtf8, GivesACharacterWithItsLastByte) {
  LossyUtf8 stream;
  EXPECT_EQ(stream.push("a\xF0"), "a");
  EXPECT_EQ(stream.push("\x9F\x99"), "");
  EXPECT_EQ(stream.push("\x82!"), "🙂!");
  EXPECT_EQ(stream.finish(), "");
}

TEST(LossyUtf8, ReplacesEachMaximalIllFormedPartOnce) {
  // Unicode 15 section 3.9, table 3-8.
  LossyUtf8 stream;
  EXPECT_EQ(stream.push("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), "\uFFFD\uFFFD\uFFFD\uFFFDA");
  EXPECT_EQ(stream.push("\xE2\x82"), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  EXPECT_EQ(stream.finish(), "");
}

TEST(ByteAlphabet, MapsEachByteToItsOwnPrintableCharacterAndBack) {
  const ByteAlphabet& alphabet = ByteAlphabet::instance();
  EXPECT_EQ(alphabet.symbol(' '), "Ġ");
  EXPECT_EQ(alphabet.symbol('\n'), "Ċ");
  EXPECT_EQ(alphabet.symbol('!'), "!");
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  EXPECT_EQ(alphabet.decode(alphabet.encode(all)), all);
  EXPECT_EQ(alphabet.decode("a b"), std::nullopt);
}

TEST(UnicodeClasses, FollowTheStandard) {
  EXPECT_TRUE(is_whitespace(U' ') && is_whitespace(0x85) && is_whitespace(0xA0) && is_whitespace(0x3000));
  EXPECT_FALSE(is_whitespace(0x200B) || is_whitespace(0xFEFF) || is_whitespace(0x180E));
  EXPECT_TRUE(is_numeric(U'7') && is_numeric(U'²') && is_numeric(U'Ⅷ') && is_numeric(U'٣'));
  EXPECT_TRUE(is_punctuation(U'$') && is_punctuation(U'_') && is_punctuation(U'«'));
  EXPECT_FALSE(is_punctuation(U'€') || is_punctuation(U'a'));
  EXPECT_TRUE(is_word(U'ä') && is_word(U'_') && is_word(0x301) && is_word(U'Ⓐ') && is_word(0x200D));
  EXPECT_FALSE(is_word(U'-') || is_word(U'²'));
}

} // namespace
} // namespace tessera::tokenizer
