#include "tessera/tokenizer/pre_tokenizer.hpp"

#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tests/tokenizer/error_text.hpp"

namespace tessera::tokenizer {
namespace {

using ::testing::HasSubstr;
using Strings = std::vector<std::string>;

Strings pieces(std::string_view json, const std::string& text, bool at_text_start = true) {
  const nlohmann::json document = nlohmann::json::parse(json);
  std::vector<Piece> all;
  all.push_back({text, at_text_start});
  make_pre_tokenizer(JsonNode(document, "pre_tokenizer"))->apply(all);
  Strings texts;
  for (const Piece& piece : all) texts.push_back(piece.text);
  return texts;
}

std::string split_at_dash(std::string_view behavior, bool invert = false) {
  return fmt::format(R"({{"type": "Split", "pattern": {{"String": "-"}}, "behavior": "{}", "invert": {}}})", behavior,
                     invert);
}

TEST(PreTokenizer, SplitFollowsEachBehavior) {
  const std::string text = "the-final--countdown";
  EXPECT_EQ(pieces(split_at_dash("Removed"), text), (Strings{"the", "final", "countdown"}));
  EXPECT_EQ(pieces(split_at_dash("Isolated"), text), (Strings{"the", "-", "final", "-", "-", "countdown"}));
  EXPECT_EQ(pieces(split_at_dash("MergedWithPrevious"), text), (Strings{"the-", "final-", "-", "countdown"}));
  EXPECT_EQ(pieces(split_at_dash("MergedWithNext"), text), (Strings{"the", "-final", "-", "-countdown"}));
  EXPECT_EQ(pieces(split_at_dash("Contiguous"), text), (Strings{"the", "-", "final", "--", "countdown"}));
}

TEST(PreTokenizer, SplitInvertTreatsTheRestAsTheMatch) {
  EXPECT_EQ(pieces(split_at_dash("Removed", true), "a-b--c"), (Strings{"-", "-", "-"}));
  EXPECT_EQ(pieces(split_at_dash("MergedWithPrevious", true), "-a-b"), (Strings{"-a", "-b"}));
}

TEST(PreTokenizer, SplitAtEmptyMatchesCutsBetweenCharacters) {
  constexpr auto kCapitals = R"JSON({"type": "Split", "pattern": {"Regex": "(?=[A-Z])"}, "behavior": "Isolated"})JSON";
  EXPECT_EQ(pieces(kCapitals, "fooBarBaz"), (Strings{"foo", "Bar", "Baz"}));
}

TEST(PreTokenizer, ByteLevelUsesGpt2sExpressionAndTheByteAlphabet) {
  EXPECT_EQ(pieces(R"({"type": "ByteLevel", "add_prefix_space": false})", "Hi, it's 42  \n"),
            (Strings{"Hi", ",", "Ġit", "'s", "Ġ42", "ĠĠĊ"}));
  EXPECT_EQ(pieces(R"({"type": "ByteLevel", "add_prefix_space": false})", "a  b"), (Strings{"a", "Ġ", "Ġb"}));
  EXPECT_EQ(pieces(R"({"type": "ByteLevel", "add_prefix_space": true, "use_regex": false})", "é b"), Strings{"ĠÃ©Ġb"});
  EXPECT_EQ(pieces(R"({"type": "ByteLevel", "add_prefix_space": true, "use_regex": false})", " b"), Strings{"Ġb"});
}

TEST(PreTokenizer, DigitsStandAloneOrInRuns) {
  EXPECT_EQ(pieces(R"({"type": "Digits", "individual_digits": true})", "a12²b"), (Strings{"a", "1", "2", "²", "b"}));
  EXPECT_EQ(pieces(R"({"type": "Digits", "individual_digits": false})", "a12b"), (Strings{"a", "12", "b"}));
}

TEST(PreTokenizer, PunctuationIsIsolatedUnlessToldOtherwise) {
  EXPECT_EQ(pieces(R"({"type": "Punctuation"})", "a!!b"), (Strings{"a", "!", "!", "b"}));
  EXPECT_EQ(pieces(R"({"type": "Punctuation", "behavior": "Contiguous"})", "a!$b«"), (Strings{"a", "!$", "b", "«"}));
}

TEST(PreTokenizer, MetaspaceReadsItsNewSpelling) {
  constexpr auto kFirst = R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false})";
  EXPECT_EQ(pieces(kFirst, "a b"), Strings{"▁a▁b"});
  EXPECT_EQ(pieces(kFirst, " a"), Strings{"▁a"});
  EXPECT_EQ(pieces(kFirst, "a", false), Strings{"a"});
  EXPECT_EQ(pieces(R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"})", "a  b", false),
            (Strings{"▁a", "▁", "▁b"}));
  EXPECT_EQ(pieces(R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "never"})", "a b"),
            (Strings{"a", "_b"}));
}

TEST(PreTokenizer, MetaspaceReadsItsOldSpelling) {
  EXPECT_EQ(pieces(R"({"type": "Metaspace", "replacement": "▁", "add_prefix_space": true, "str_rep": "▁"})", "a b"),
            (Strings{"▁a", "▁b"}));
  EXPECT_EQ(pieces(R"({"type": "Metaspace", "replacement": "▁", "add_prefix_space": false})", "a b"),
            (Strings{"a", "▁b"}));
  EXPECT_THAT(error_text<base::InvalidArgument>([] {
                pieces(R"({"type": "Metaspace", "replacement": "▁", "add_prefix_space": false,
                           "prepend_scheme": "always"})",
                       "a");
              }),
              HasSubstr("add_prefix_space"));
}

TEST(PreTokenizer, WhitespaceKeepsWordsAndRunsOfOtherCharacters) {
  EXPECT_EQ(pieces(R"({"type": "Whitespace"})", "Hey friend!  How's_it?!"),
            (Strings{"Hey", "friend", "!", "How", "'", "s_it", "?!"}));
  EXPECT_EQ(pieces(R"({"type": "WhitespaceSplit"})", " Hey  you!\n"), (Strings{"Hey", "you!"}));
}

TEST(PreTokenizer, SequenceCutsThePiecesOfTheStepBefore) {
  // Falcon's: each step sees what the one before left, and bytes are mapped in the middle.
  constexpr auto kFalcon = R"({"type": "Sequence", "pretokenizers": [
      {"type": "Punctuation", "behavior": "Contiguous"},
      {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
      {"type": "Digits", "individual_digits": false},
      {"type": "Split", "pattern": {"Regex": "[0-9][0-9][0-9]"}, "behavior": "Isolated", "invert": false}]})";
  EXPECT_EQ(pieces(kFalcon, "a 12345..."), (Strings{"a", "Ġ", "123", "45", "..."}));
}

TEST(PreTokenizer, OnlyThePieceAtTheTextsStartIsMarkedSo) {
  const nlohmann::json document = nlohmann::json::parse(split_at_dash("Removed"));
  const auto split = make_pre_tokenizer(JsonNode(document, "pre_tokenizer"));
  std::vector<Piece> all;
  all.push_back({"a-b", true});
  split->apply(all);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_TRUE(all[0].at_text_start);
  EXPECT_FALSE(all[1].at_text_start);
}

TEST(PreTokenizer, UnknownTypesNameTheKnownOnes) {
  const auto text = error_text<base::Unsupported>([] { pieces(R"({"type": "UnicodeScripts"})", "a"); });
  EXPECT_THAT(text, HasSubstr("UnicodeScripts"));
  EXPECT_THAT(text, HasSubstr("ByteLevel, Split, Digits"));
}

TEST(PreTokenizer, WrongFieldsNameTheirPlace) {
  EXPECT_THAT(error_text<base::InvalidArgument>([] { pieces(split_at_dash("Sideways"), "a"); }),
              HasSubstr("pre_tokenizer.behavior must be one of Removed"));
  EXPECT_THAT(error_text<base::InvalidArgument>([] { pieces(R"({"type": "Metaspace", "replacement": "ab"})", "a"); }),
              HasSubstr("one character"));
  error_text<base::InvalidArgument>(
      [] { pieces(R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "last"})", "a"); });
  error_text<base::InvalidArgument>([] { pieces(R"({"type": "Sequence", "pretokenizers": {}})", "a"); });
  error_text<base::InvalidArgument>([] { pieces(R"({"type": "ByteLevel", "use_regex": "yes"})", "a"); });
}

TEST(PreTokenizer, BertDropsSpaceAndIsolatesPunctuation) {
  EXPECT_EQ(pieces(R"({"type": "BertPreTokenizer"})", "Hey friend!     How are you?!?"),
            (Strings{"Hey", "friend", "!", "How", "are", "you", "?", "!", "?"}));
  EXPECT_EQ(pieces(R"({"type": "BertPreTokenizer"})", " a$b\u3000c\u201Cd\u20AC "),
            (Strings{"a", "$", "b", "c", "\u201C", "d\u20AC"})); // a symbol is punctuation in ASCII only
}

} // namespace
} // namespace tessera::tokenizer
