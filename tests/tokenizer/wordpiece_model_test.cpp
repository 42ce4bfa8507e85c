#include "tessera/tokenizer/wordpiece_model.hpp"

#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tests/tokenizer/error_text.hpp"
#include "tests/tokenizer/tokenizer_json.hpp"

namespace tessera::tokenizer {
namespace {

using ::testing::HasSubstr;
using Strings = std::vector<std::string>;

Strings tokens(const Json& model, std::string_view word) {
  const auto read = make_model(JsonNode(model, "model"));
  Ids ids;
  read->encode(word, ids);
  Strings out;
  for (const std::int32_t id : ids) out.push_back(*read->vocabulary().token(id));
  return out;
}

Json model_of(const Strings& words) {
  return bert_file(words)["model"];
}

TEST(WordPieceModel, TakesTheLongestTokenAgainAndAgain) {
  const Json model = model_of({"un", "u", "##a", "##aff", "##able", "unaff", "##le"});
  EXPECT_EQ(tokens(model, "unaffable"), (Strings{"unaff", "##able"}));
  EXPECT_EQ(tokens(model, "unaffa"), (Strings{"unaff", "##a"}));
  EXPECT_EQ(tokens(model, "ua"), (Strings{"u", "##a"}));
  EXPECT_EQ(tokens(model, ""), Strings{});
}

TEST(WordPieceModel, AWordThatCannotBeCutUpIsUnknownAsAWhole) {
  const Json model = model_of({"ba", "##na", "##n"});
  EXPECT_EQ(tokens(model, "banana"), (Strings{"ba", "##na", "##na"}));
  EXPECT_EQ(tokens(model, "bananax"), Strings{"[UNK]"}); // no way back to shorter tokens either
  EXPECT_EQ(tokens(model, "nana"), Strings{"[UNK]"});    // "na" is known inside a word only
}

TEST(WordPieceModel, CutsBetweenCharactersNotBytes) {
  const Json model = model_of({"é", "##é", "##漢", "a"});
  EXPECT_EQ(tokens(model, "éé漢"), (Strings{"é", "##é", "##漢"}));
  EXPECT_EQ(tokens(model, "aè"), Strings{"[UNK]"});
}

TEST(WordPieceModel, AWordLongerThanItsLimitInCharactersIsUnknown) {
  Json model = model_of({"é", "##é"});
  model["max_input_chars_per_word"] = 3;
  EXPECT_EQ(tokens(model, "ééé").size(), 3);
  EXPECT_EQ(tokens(model, "éééé"), Strings{"[UNK]"});
}

TEST(WordPieceModel, ReadsAModelWithoutATypeAndOtherMarks) {
  Json model = model_of({"a", "@b"});
  model.erase("type");
  model["continuing_subword_prefix"] = "@";
  EXPECT_EQ(tokens(model, "ab"), (Strings{"a", "@b"}));
}

TEST(WordPieceModel, NeedsItsUnknownTokenOnlyForUnknownWords) {
  Json model = model_of({"a"});
  model["unk_token"] = "<none>";
  EXPECT_EQ(tokens(model, "a"), Strings{"a"});
  EXPECT_THAT(error_text<base::InvalidArgument>([&] { tokens(model, "b"); }), HasSubstr("unknown token \"<none>\""));
}

TEST(WordPieceModel, NamesWhatIsWrong) {
  Json model = model_of({"a"});
  model["max_input_chars_per_word"] = "many";
  EXPECT_THAT(error_text<base::InvalidArgument>([&] { tokens(model, ""); }),
              HasSubstr("model.max_input_chars_per_word"));
  model = model_of({"a"});
  model["vocab"] = 7;
  EXPECT_THAT(error_text<base::InvalidArgument>([&] { tokens(model, ""); }), HasSubstr("model.vocab"));
}

// Google's BERT (tokenization_test.py) cuts these sentences so.
TEST(WordPieceTokenizer, CutsTextsAsBertDoes) {
  const Tokenizer tokenizer = make_tokenizer(
      bert_file({"want", "##want", "##ed", "wa", "un", "runn", "##ing", ",", "!", "hello", "how", "are", "you", "?"}));
  EXPECT_EQ(tokens_of(tokenizer, "UNwant\u00E9d,running"), (Strings{"un", "##want", "##ed", ",", "runn", "##ing"}));
  EXPECT_EQ(tokens_of(tokenizer, " \tHeLLo!how  \n Are yoU?  "), (Strings{"hello", "!", "how", "are", "you", "?"}));
  EXPECT_EQ(tokens_of(tokenizer, "hello xyz [MASK] you"), (Strings{"hello", "[UNK]", "[MASK]", "you"}));
}

// Worked out by hand from BERT's rules, step by step: clean, isolate ideographs, NFD without accents, lower case, split
// at space and punctuation, longest match.
TEST(WordPieceTokenizer, TakesTextsThroughAllSteps) {
  const Tokenizer tokenizer =
      make_tokenizer(bert_file({"istanbul", "naive",  "cafe",     "漢",     "字",     "##字",     "x",
                                "##x",      "'",      "s",        "-",      "$",      "5",        "##00",
                                "\u20AC",   "ss",     "\u00DF",   "i",      "\u0915", "##\u0940", "\u0915\u0940",
                                "c",        "\u1100", "##\u1161", "\uAC00", "."}));
  struct Case {
    std::string text;
    Strings tokens;
  };
  const Case cases[] = {
      {"\u0130stanbul NA\u00CFVE Cafe\u0301", {"istanbul", "naive", "cafe"}}, // dots and accents go, then capitals
      {"x漢字x", {"x", "漢", "字", "x"}},                                     // never "##字": each stands alone
      {"x's x-x", {"x", "'", "s", "x", "-", "x"}},
      {"$500 5\u20AC", {"$", "5", "##00", "[UNK]"}}, // the euro sign is no punctuation: "5€" is one word
      {"\u20AC", {"\u20AC"}},
      {"\u1E9E \u00DF", {"\u00DF", "\u00DF"}},                // capital sharp s becomes the small one
      {"\u0915\u0940", {"\u0915\u0940"}},                     // a vowel sign (Mc) stays
      {"\uAC00", {"\u1100", "##\u1161"}},                     // Hangul stays decomposed, as in Hugging Face
      {"x\u00ADx\u200Bx\u200Dx", {"x", "##x", "##x", "##x"}}, // format characters go without a trace
      {"x\u2028x\u00A0x", {"x", "x", "x"}},
      {std::string("x\tx\r\nx\0x", 8), {"x", "x", "x", "##x"}},
      {"[MASK]x [mask]", {"[MASK]", "x", "[UNK]", "[UNK]", "[UNK]"}},
      {std::string(101, 'x'), {"[UNK]"}},
      {"", {}},
      {" \t ", {}},
  };
  for (const Case& c : cases) EXPECT_EQ(tokens_of(tokenizer, c.text), c.tokens) << c.text;
}

TEST(WordPieceTokenizer, EncodesOneTextOrTwoWithTheirTypes) {
  const Tokenizer tokenizer = make_tokenizer(bert_file({"a", "##b", "c"}));
  EXPECT_EQ(tokenizer.encode("ab c", true), (Ids{2, 5, 6, 7, 3}));
  const Encoding both = tokenizer.encode_texts("ab", "c c");
  EXPECT_EQ(both.ids, (Ids{2, 5, 6, 3, 7, 7, 3}));
  EXPECT_EQ(both.type_ids, (Ids{0, 0, 0, 0, 1, 1, 1}));
  EXPECT_EQ(tokenizer.decode(both.ids, true), "ab c c");
}

} // namespace
} // namespace tessera::tokenizer
