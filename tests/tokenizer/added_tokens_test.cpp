#include "tessera/tokenizer/added_tokens.hpp"

#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tests/tokenizer/error_text.hpp"
#include "tests/tokenizer/tokenizer_json.hpp"

namespace tessera::tokenizer {
namespace {

using ::testing::HasSubstr;
using Strings = std::vector<std::string>;

// A tokenizer of single characters, spaces and letters, with one more token "<x>" of id 100.
Tokenizer with_token(const Json& flags, const Json& normalizer = nullptr) {
  Json token = {{"id", 100}, {"content", "<x>"}};
  token.update(flags);
  return make_tokenizer({{"model", bpe_model({"a", "b", " ", "<", "x", ">", "X"})},
                         {"added_tokens", Json::array({token})},
                         {"normalizer", normalizer}});
}

TEST(AddedTokens, AreMatchedWhereverTheyStand) {
  const Tokenizer tokenizer = with_token({{"special", false}});
  EXPECT_EQ(tokens_of(tokenizer, "a<x>b<x>"), (Strings{"a", "<x>", "b", "<x>"}));
  EXPECT_EQ(tokens_of(tokenizer, "<x"), (Strings{"<", "x"}));
  EXPECT_EQ(tokenizer.vocab_size(), 101u);
  EXPECT_EQ(tokenizer.token_to_id("<x>"), 100);
  EXPECT_FALSE(tokenizer.is_special(100));
  EXPECT_TRUE(with_token({{"special", true}}).is_special(100));
}

TEST(AddedTokens, LstripAndRstripSwallowWhitespace) {
  EXPECT_EQ(tokens_of(with_token({{"lstrip", true}}), "a  <x> b"), (Strings{"a", "<x>", " ", "b"}));
  EXPECT_EQ(tokens_of(with_token({{"rstrip", true}}), "a <x> \u3000b"), (Strings{"a", " ", "<x>", "b"}));
  EXPECT_EQ(tokens_of(with_token({{"lstrip", true}, {"rstrip", true}}), " <x>  <x> "), (Strings{"<x>", "<x>"}));
}

TEST(AddedTokens, SingleWordNeedsNoWordCharacterBeside) {
  const Tokenizer tokenizer = with_token({{"single_word", true}});
  EXPECT_EQ(tokens_of(tokenizer, "a<x>"), (Strings{"a", "<", "x", ">"}));
  EXPECT_EQ(tokens_of(tokenizer, "<x>b"), (Strings{"<", "x", ">", "b"}));
  EXPECT_EQ(tokens_of(tokenizer, "a <x> b"), (Strings{"a", " ", "<x>", " ", "b"}));
  EXPECT_EQ(tokens_of(tokenizer, "<x>"), Strings{"<x>"});
}

TEST(AddedTokens, NormalizedOnesAreSoughtInTheNormalizedText) {
  const Json lowercase = {{"type", "Lowercase"}};
  EXPECT_EQ(tokens_of(with_token({{"normalized", true}}, lowercase), "<X>"), Strings{"<x>"});
  EXPECT_EQ(tokens_of(with_token({{"normalized", false}}, lowercase), "<X><x>"), (Strings{"<", "x", ">", "<x>"}));
}

TEST(AddedTokens, TheContentOfANormalizedOneIsNormalizedToo) {
  EXPECT_EQ(tokens_of(with_token({{"content", "<X>"}, {"normalized", true}}, {{"type", "Lowercase"}}), "a<x>"),
            (Strings{"a", "<X>"}));
}

TEST(AddedTokens, TheLongestOfThoseThatBeginFirstWins) {
  const Tokenizer tokenizer = make_tokenizer({{"model", bpe_model({"a", "b", "c"})},
                                              {"added_tokens", Json::array({{{"id", 10}, {"content", "ab"}},
                                                                            {{"id", 11}, {"content", "abc"}},
                                                                            {{"id", 12}, {"content", "bca"}}})}});
  EXPECT_EQ(tokenizer.encode("abca", false), (Ids{11, 0}));
  EXPECT_EQ(tokenizer.encode("bbca", false), (Ids{1, 12}));
  EXPECT_EQ(tokenizer.encode("abb", false), (Ids{10, 1}));
}

TEST(AddedTokens, MustAgreeWithTheVocabularyAndEachOther) {
  const auto error_of = [](const Json& tokens) {
    return error_text<base::InvalidArgument>([&] {
      make_tokenizer({{"model", bpe_model({"a", "b"})}, {"added_tokens", tokens}});
    });
  };
  EXPECT_THAT(error_of({{{"id", 1}, {"content", "a"}}}), HasSubstr("the model's vocabulary gives it"));
  EXPECT_THAT(error_of({{{"id", 1}, {"content", "x"}}}), HasSubstr("an id of its own"));
  EXPECT_THAT(error_of({{{"id", 5}, {"content", "x"}}, {{"id", 5}, {"content", "y"}}}),
              HasSubstr("both \"x\" and \"y\""));
  EXPECT_THAT(error_of({{{"id", 5}, {"content", "x"}}, {{"id", 6}, {"content", "x"}}}), HasSubstr("must have one id"));
  EXPECT_THAT(error_of({{{"id", 5}, {"content", ""}}}), HasSubstr("not empty"));
  EXPECT_THAT(error_of({{{"id", -5}, {"content", "x"}}}), HasSubstr("added_tokens[0].id must be a token id"));
  EXPECT_THAT(error_of({{{"content", "x"}}}), HasSubstr("received nothing"));
  EXPECT_THAT(error_of({{{"id", 5}, {"content", "x"}, {"lstrip", "no"}}}), HasSubstr("added_tokens[0].lstrip"));
  EXPECT_THAT(error_of(Json::object()), HasSubstr("added_tokens must be an array"));
}

} // namespace
} // namespace tessera::tokenizer
