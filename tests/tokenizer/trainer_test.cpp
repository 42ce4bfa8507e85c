#include "tessera/tokenizer/trainer.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/tokenizer/tokenizer.hpp"

namespace tessera::tokenizer {
namespace {

using Texts = std::vector<std::string>;
using Ids = std::vector<std::int32_t>;

const Texts kTexts = {"the cat and the hat and the bat\nthe end", "then they thought of the other mother, 1234 times"};
const Texts kSpecial = {"<|begin_of_text|>", "<|end_of_text|>"};

Tokenizer train(const Texts& texts, std::size_t vocab_size, const Texts& special) {
  return Tokenizer::parse(train_byte_level_bpe(texts, vocab_size, special), "trained");
}

TEST(TrainByteLevelBpe, LearnsTheMostFrequentPairFirst) {
  const Tokenizer tokenizer = train({"aab aab aab xy"}, 258, {});
  EXPECT_EQ(tokenizer.vocab_size(), 258u);
  // "aa" and "ab" occur three times, " a" twice; of equals the smaller ids win.
  EXPECT_EQ(tokenizer.id_to_token(256), "aa");
  EXPECT_EQ(tokenizer.id_to_token(257), "aab");
}

TEST(TrainByteLevelBpe, PutsSpecialTokensBehindTheVocabularyAndTheFirstBeforeEachText) {
  const Tokenizer tokenizer = train(kTexts, 262, kSpecial);
  EXPECT_EQ(tokenizer.vocab_size(), 262u);
  EXPECT_EQ(tokenizer.token_to_id("<|begin_of_text|>"), 260);
  EXPECT_EQ(tokenizer.token_to_id("<|end_of_text|>"), 261);
  EXPECT_TRUE(tokenizer.is_special(260));
  EXPECT_FALSE(tokenizer.is_special(259));
  EXPECT_EQ(tokenizer.encode("", true), Ids{260});
  EXPECT_EQ(tokenizer.encode("<|end_of_text|>", false), Ids{261});
}

TEST(TrainByteLevelBpe, EncodesAnyTextAndGivesItBack) {
  const Tokenizer tokenizer = train(kTexts, 300, kSpecial);
  for (const std::string text : {"the mother", "  spaces\n\n and\ttabs ", "Größe 漢字 🙂‍🙃", "\x01\x7f"}) {
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text, false)), text);
  }
  EXPECT_LT(tokenizer.encode("the other mother", false).size(), 8u);
}

TEST(TrainByteLevelBpe, NeverMergesAcrossTheSplitExpression) {
  const Tokenizer tokenizer = train({"12345 12345 12345 12345 12345"}, 400, {});
  EXPECT_TRUE(tokenizer.token_to_id("123").has_value());
  EXPECT_FALSE(tokenizer.token_to_id("1234").has_value());
}

TEST(TrainByteLevelBpe, StopsWhenNoPairOccursTwice) {
  EXPECT_EQ(train({"abcdef"}, 1000, {}).vocab_size(), 256u);
  EXPECT_EQ(train({}, 1000, kSpecial).vocab_size(), 258u);
}

TEST(TrainByteLevelBpe, GivesEqualOutputForEqualInput) {
  EXPECT_EQ(train_byte_level_bpe(kTexts, 300, kSpecial), train_byte_level_bpe(kTexts, 300, kSpecial));
}

TEST(TrainByteLevelBpe, RefusesArgumentsThatCannotWork) {
  EXPECT_THROW(train_byte_level_bpe(kTexts, 257, kSpecial), base::InvalidArgument);
  EXPECT_THROW(train_byte_level_bpe(Texts{"\xff"}, 300, kSpecial), base::InvalidArgument);
  EXPECT_THROW(train_byte_level_bpe(kTexts, 300, Texts{""}), base::InvalidArgument);
  EXPECT_THROW(train_byte_level_bpe(kTexts, 300, Texts{"<s>", "<s>"}), base::InvalidArgument);
  EXPECT_THROW(train_byte_level_bpe(kTexts, 300, Texts{"the"}), base::InvalidArgument);
}

} // namespace
} // namespace tessera::tokenizer
