#include "tessera/tokenizer/decoder.hpp"

#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tests/tokenizer/error_text.hpp"

namespace tessera::tokenizer {
namespace {

using ::testing::HasSubstr;
using Strings = std::vector<std::string>;

// What comes out for each token, and at the end.
Strings parts(std::string_view json, const Strings& tokens) {
  const nlohmann::json document = nlohmann::json::parse(json);
  Decoder decoder{JsonNode(document, "decoder")};
  Strings out;
  for (const std::string& token : tokens) out.push_back(decoder.push(token));
  out.push_back(decoder.finish());
  return out;
}

std::string text(std::string_view json, const Strings& tokens) {
  std::string all;
  for (const std::string& part : parts(json, tokens)) all += part;
  return all;
}

constexpr auto kLlama2 = R"({"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})";

TEST(Decoder, WordPieceJoinsWordsAndTakesSpacesBeforePunctuationAway) {
  constexpr auto kBert = R"({"type": "WordPiece", "prefix": "##", "cleanup": true})";
  EXPECT_EQ(parts(kBert, {"##a", "un", "##aff", "##able", ".", "n't", "do not"}),
            (Strings{"##a", " un", "aff", "able", ".", "n't", " don't", ""}));
  EXPECT_EQ(text(R"({"type": "WordPiece", "prefix": "@", "cleanup": false})", {"a", "@b", "."}), "ab .");
}

TEST(Decoder, ByteLevelGivesACharacterWithItsLastByte) {
  // The smiling face F0 9F 99 82 in the byte alphabet.
  EXPECT_EQ(parts(R"({"type": "ByteLevel"})", {"ĠaðŁ", "Ļ", "Ĥ!"}), (Strings{" a", "", "🙂!", ""}));
  EXPECT_EQ(text(R"({"type": "ByteLevel"})", {"ðŁ", "a"}), "\uFFFDa");
  EXPECT_EQ(text(R"({"type": "ByteLevel"})", {"<a b>", "ðŁ"}), "<a b>\uFFFD"); // not of the alphabet: taken as it is
}

TEST(Decoder, ByteFallbackHoldsARunUntilItEnds) {
  EXPECT_EQ(parts(kLlama2, {"▁a", "<0xF0>", "<0x9F>", "<0x99>", "<0x82>", "▁b"}),
            (Strings{"a", "", "", "", "", "🙂 b", ""}));
  EXPECT_EQ(parts(kLlama2, {"▁a", "<0xE2>", "<0x82>", "<0xAC>"}), (Strings{"a", "", "", "", "€"}));
}

TEST(Decoder, ByteFallbackReplacesEachByteOfABrokenRun) {
  EXPECT_EQ(text(kLlama2, {"▁a", "<0xE2>", "<0x82>", "x", "<0x41>", "<0xff>"}), "a\uFFFD\uFFFDx\uFFFD\uFFFD");
  EXPECT_EQ(text(kLlama2, {"▁<0xZZ>", "<0x4>"}), "<0xZZ><0x4>");
}

TEST(Decoder, StripBehindFuseLooksAtTheWholeText) {
  EXPECT_EQ(parts(kLlama2, {"▁", "▁a", "▁b"}), (Strings{"", " a", " b", ""}));
  EXPECT_EQ(text(kLlama2, {"<s>", "▁a"}), "<s> a");
  constexpr auto kBothEnds =
      R"({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Strip", "content": "_", "start": 2, "stop": 2}]})";
  EXPECT_EQ(parts(kBothEnds, {"_", "__a_", "__", "b_", "_", "_"}), (Strings{"", "_a", "_", "__b", "", "_", ""}));
  EXPECT_EQ(text(kBothEnds, {"_", "_", "_"}), "");
}

TEST(Decoder, StripWithoutFuseLooksAtEachToken) {
  EXPECT_EQ(text(R"({"type": "Strip", "content": "_", "start": 1, "stop": 1})", {"__a_", "_b", "_"}), "_ab");
}

TEST(Decoder, ReplaceBehindFuseSeesMatchesAcrossTokens) {
  constexpr auto kFuseFirst = R"({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Replace",
      "pattern": {"String": "ab"}, "content": "c"}]})";
  EXPECT_EQ(parts(kFuseFirst, {"a", "b"}), (Strings{"", "", "c"}));
  EXPECT_EQ(text(R"({"type": "Replace", "pattern": {"String": "ab"}, "content": "c"})", {"a", "b", "ab"}), "abc");
}

TEST(Decoder, MetaspaceDropsTheFirstTokensMarks) {
  EXPECT_EQ(text(R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"})", {"▁a", "▁b", "c"}),
            "a bc");
  EXPECT_EQ(text(R"({"type": "Metaspace", "replacement": "▁", "add_prefix_space": true})", {"▁a", "▁▁b"}), "a  b");
  EXPECT_EQ(text(R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never"})", {"▁a", "▁b"}), " a b");
}

TEST(Decoder, NoDecoderJoinsTokensBySpaces) {
  EXPECT_EQ(text("null", {"a", "b", "c"}), "a b c");
}

TEST(Decoder, UnknownTypesNameTheKnownOnes) {
  const auto message =
      error_text<base::Unsupported>([] { text(R"({"type": "Sequence", "decoders": [{"type": "CTC"}]})", {}); });
  EXPECT_THAT(message, HasSubstr("decoder.decoders[0].type"));
  EXPECT_THAT(message, HasSubstr("CTC"));
  EXPECT_THAT(message, HasSubstr("ByteFallback, Fuse, Strip, Metaspace"));
}

TEST(Decoder, WrongFieldsNameTheirPlace) {
  EXPECT_THAT(error_text<base::InvalidArgument>(
                  [] { text(R"({"type": "Strip", "content": " ", "start": -1, "stop": 0})", {}); }),
              HasSubstr("decoder.start"));
  error_text<base::InvalidArgument>([] { text(R"({"type": "Strip", "content": "", "start": 1, "stop": 0})", {}); });
  error_text<base::InvalidArgument>([] { text(R"({"type": "Sequence", "decoders": [null]})", {}); });
  error_text<base::InvalidArgument>([] { text("7", {}); });
}

} // namespace
} // namespace tessera::tokenizer
