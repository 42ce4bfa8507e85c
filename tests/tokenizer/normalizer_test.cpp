#include "tessera/tokenizer/normalizer.hpp"

#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tests/tokenizer/error_text.hpp"

namespace tessera::tokenizer {
namespace {

using ::testing::HasSubstr;

std::string normalize(std::string_view json, std::string text) {
  const nlohmann::json document = nlohmann::json::parse(json);
  make_normalizer(JsonNode(document, "normalizer"))->apply(text);
  return text;
}

TEST(Normalizer, PrependPutsItsTextBeforeAnyTextButAnEmptyOne) {
  constexpr auto kPrepend = R"({"type": "Prepend", "prepend": "▁"})";
  EXPECT_EQ(normalize(kPrepend, "a"), "▁a");
  EXPECT_EQ(normalize(kPrepend, ""), "");
}

TEST(Normalizer, ReplaceTakesLiteralsAndExpressions) {
  EXPECT_EQ(normalize(R"({"type": "Replace", "pattern": {"String": "aa"}, "content": "b"})", "aaa.aa"), "ba.b");
  EXPECT_EQ(normalize(R"({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"})", "a   b c"), "a▁b c");
}

TEST(Normalizer, UnicodeFormsFollowAnnex15) {
  // U+01D5: U with diaeresis and macron; U+FB01: ligature fi.
  EXPECT_EQ(normalize(R"({"type": "NFC"})", "U\u0308\u0304\uFB01"), "\u01D5\uFB01");
  EXPECT_EQ(normalize(R"({"type": "NFD"})", "\u01D5\uFB01"), "U\u0308\u0304\uFB01");
  EXPECT_EQ(normalize(R"({"type": "NFKC"})", "U\u0308\u0304\uFB01²"), "\u01D5fi2");
  EXPECT_EQ(normalize(R"({"type": "NFKD"})", "\u01D5\uFB01²"), "U\u0308\u0304fi2");
  EXPECT_EQ(normalize(R"({"type": "NFC"})", "a\u0323\u0307"), "\u1EA1\u0307");
  EXPECT_EQ(normalize(R"({"type": "NFD"})", "a\u0307\u0323"), "a\u0323\u0307"); // marks are put in order
  EXPECT_EQ(normalize(R"({"type": "NFC"})", std::string("\0a", 2)), std::string("\0a", 2));
  EXPECT_EQ(normalize(R"({"type": "NFC"})", ""), "");
}

TEST(Normalizer, LowercaseWorksCharacterByCharacter) {
  EXPECT_EQ(normalize(R"({"type": "Lowercase"})", "ÄÖÜ ΑΣ İ 漢"), "äöü ασ i\u0307 漢");
}

TEST(Normalizer, StripTakesWhitespaceOffTheChosenEnds) {
  EXPECT_EQ(normalize(R"({"type": "Strip", "strip_left": true, "strip_right": true})", "\u3000 a b\n"), "a b");
  EXPECT_EQ(normalize(R"({"type": "Strip", "strip_left": true, "strip_right": false})", " a "), "a ");
  EXPECT_EQ(normalize(R"({"type": "Strip", "strip_left": false, "strip_right": true})", " a "), " a");
  EXPECT_EQ(normalize(R"({"type": "Strip", "strip_left": false, "strip_right": true})", " \t "), "");
  EXPECT_EQ(normalize(R"({"type": "Strip", "strip_left": false, "strip_right": false})", " \t "), " \t ");
}

TEST(Normalizer, BertCleansIsolatesIdeographsAndStripsAccents) {
  constexpr auto kBert = R"({"type": "BertNormalizer"})";
  EXPECT_EQ(normalize(kBert, "Hé\tLLÒ\u00A0\u3000x"), "he llo  x");
  // NUL, U+FFFD, a control, a format and a private-use character go; U+0378, which is not assigned, stays.
  EXPECT_EQ(normalize(kBert, std::string("a\0b", 3) + "\uFFFD\u0007\u200D\uE000c\u0378\u0085d"), "abc\u0378d");
  EXPECT_EQ(normalize(kBert, "ab漢字c"), "ab 漢  字 c");
  EXPECT_EQ(normalize(kBert, "\U0002B820\U0002B920"), "\U0002B820 \U0002B920 "); // as in Hugging Face tokenizers
  EXPECT_EQ(normalize(kBert, "İ\u0301\u0903"), "i\u0903");                       // U+0903 has a place of its own (Mc)
}

TEST(Normalizer, BertAccentsFollowTheCaseUnlessTheFileSaysOtherwise) {
  EXPECT_EQ(normalize(R"({"type": "BertNormalizer", "lowercase": false, "strip_accents": null})", "Éa"), "Éa");
  EXPECT_EQ(normalize(R"({"type": "BertNormalizer", "lowercase": false, "strip_accents": true})", "Éa"), "Ea");
  EXPECT_EQ(normalize(R"({"type": "BertNormalizer", "lowercase": true, "strip_accents": false})", "Éa"), "éa");
  EXPECT_EQ(
      normalize(R"({"type": "BertNormalizer", "clean_text": false, "handle_chinese_chars": false})", "\t漢\uFFFD"),
      "\t漢\uFFFD");
}

TEST(Normalizer, SequenceAppliesItsStepsInOrder) {
  EXPECT_EQ(normalize(R"({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": " "}, {"type": "Replace",
                          "pattern": {"String": " "}, "content": "▁"}]})",
                      "a b"),
            "▁a▁b");
}

TEST(Normalizer, UnknownTypesNameTheKnownOnes) {
  const auto text = error_text<base::Unsupported>([] { normalize(R"({"type": "Precompiled"})", ""); });
  EXPECT_THAT(text, HasSubstr("Precompiled"));
  EXPECT_THAT(text, HasSubstr("NFC, NFD, NFKC, NFKD, Lowercase, Strip"));
}

TEST(Normalizer, WrongFieldsNameTheirPlace) {
  EXPECT_THAT(error_text<base::InvalidArgument>([] { normalize(R"({"type": "Prepend"})", ""); }),
              HasSubstr("normalizer.prepend must be a string; received nothing"));
  EXPECT_THAT(error_text<base::InvalidArgument>([] {
                normalize(R"({"type": "Sequence", "normalizers": [{"type": "Strip", "strip_left": 1}]})", "");
              }),
              HasSubstr("normalizer.normalizers[0].strip_left must be true or false; received 1"));
  EXPECT_THAT(error_text<base::InvalidArgument>(
                  [] { normalize(R"({"type": "Replace", "pattern": {"String": ""}, "content": "a"})", ""); }),
              HasSubstr("not empty"));
  error_text<base::InvalidArgument>([] { normalize(R"({"type": "Replace", "pattern": " ", "content": "a"})", ""); });
  error_text<base::InvalidArgument>([] { normalize(R"({"type": "Sequence", "normalizers": [null]})", ""); });
  error_text<base::InvalidArgument>([] { normalize(R"([])", ""); });
  error_text<base::InvalidArgument>([] { normalize(R"({"type": 3})", ""); });
}

} // namespace
} // namespace tessera::tokenizer
