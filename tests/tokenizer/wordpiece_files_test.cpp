#include "tessera/tokenizer/wordpiece_files.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tessera/base/error.hpp"
#include "tests/tokenizer/error_text.hpp"
#include "tests/tokenizer/tokenizer_json.hpp"

namespace tessera::tokenizer {
namespace {

using ::testing::HasSubstr;
using Strings = std::vector<std::string>;

/// A folder of its own for each test.
class WordPieceFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              fmt::format("tessera-{}-{}", ::testing::UnitTest::GetInstance()->current_test_info()->name(), ::getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(const char* name, std::string_view text) const { std::ofstream(folder_ / name, std::ios::binary) << text; }

  std::filesystem::path folder_;
};

constexpr auto kVocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhe\n##llo\nHe\ncafe\n漢\n!\n";

TEST_F(WordPieceFiles, AVocabularyAloneGivesAnUncasedTokenizer) {
  write("vocab.txt", kVocabulary);
  const Tokenizer tokenizer = Tokenizer::load(folder_);
  EXPECT_EQ(tokens_of(tokenizer, "Hello CAFÉ漢! [MASK]"), (Strings{"he", "##llo", "cafe", "漢", "!", "[MASK]"}));
  EXPECT_EQ(tokenizer.encode("hello", true), (Ids{2, 5, 6, 3}));
  EXPECT_EQ(tokenizer.encode_texts("he", "!").type_ids, (Ids{0, 0, 0, 1, 1}));
  EXPECT_EQ(tokenizer.vocab_size(), 11);
  EXPECT_TRUE(tokenizer.is_special(4));
}

TEST_F(WordPieceFiles, TheConfigurationSaysWhatBecomesOfCaseAndAccents) {
  write("vocab.txt", kVocabulary);
  write("tokenizer_config.json", R"({"do_lower_case": false, "tokenizer_class": "BertTokenizer"})");
  const Tokenizer cased = Tokenizer::load(folder_);
  EXPECT_EQ(tokens_of(cased, "Hello cafe café"), (Strings{"He", "##llo", "cafe", "[UNK]"}));
  write("tokenizer_config.json", R"({"do_lower_case": false, "strip_accents": true, "tokenize_chinese_chars": false})");
  EXPECT_EQ(tokens_of(Tokenizer::load(folder_), "café 漢漢"), (Strings{"cafe", "[UNK]"}));
}

TEST_F(WordPieceFiles, SpecialTokensMayHaveOtherNames) {
  write("vocab.txt", "<pad>\r\n<unk>\r\n<s>\r\n</s>\r\nhe");
  write("tokenizer_config.json", R"({"unk_token": "<unk>", "cls_token": {"content": "<s>"}, "sep_token": "</s>"})");
  EXPECT_EQ(Tokenizer::load(folder_).encode("he x", true), (Ids{2, 4, 1, 3}));
}

TEST_F(WordPieceFiles, OfEqualLinesTheLastOneCounts) {
  write("vocab.txt", "[CLS]\n[SEP]\n[UNK]\na\nb\na\n");
  EXPECT_EQ(Tokenizer::load(folder_).encode("a b", false), (Ids{5, 4}));
}

TEST_F(WordPieceFiles, ATokenizerJsonComesFirst) {
  write("vocab.txt", kVocabulary);
  write("tokenizer.json", bert_file({"x"}).dump());
  EXPECT_EQ(Tokenizer::load(folder_).vocab_size(), 6);
}

TEST_F(WordPieceFiles, RefusesOtherTokenizersAndVocabulariesWithoutSpecialTokens) {
  write("vocab.txt", "[UNK]\na\n");
  EXPECT_THAT(error_text<base::InvalidArgument>([&] { Tokenizer::load(folder_); }),
              HasSubstr("must hold the special token \"[SEP]\""));
  write("vocab.txt", "\xFF\n");
  EXPECT_THAT(error_text<base::IoError>([&] { Tokenizer::load(folder_); }), HasSubstr("UTF-8"));
  write("vocab.txt", kVocabulary);
  write("tokenizer_config.json", R"({"tokenizer_class": "BertJapaneseTokenizer"})");
  EXPECT_THAT(error_text<base::Unsupported>([&] { Tokenizer::load(folder_); }), HasSubstr("BertJapaneseTokenizer"));
  write("tokenizer_config.json", R"({"do_lower_case": "yes"})");
  EXPECT_THAT(error_text<base::InvalidArgument>([&] { Tokenizer::load(folder_); }), HasSubstr("do_lower_case"));
  write("tokenizer_config.json", "{}");
  write("added_tokens.json", "{}");
  EXPECT_THAT(error_text<base::Unsupported>([&] { Tokenizer::load(folder_); }), HasSubstr("added_tokens.json"));
}

} // namespace
} // namespace tessera::tokenizer
