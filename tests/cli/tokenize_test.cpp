#include <gtest/gtest.h>

#include "tests/cli/tiny_folder.hpp"

namespace tessera::test {
namespace {

using Ids = std::vector<std::vector<int>>;

class Tokenize : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  std::string tokenizer_ = folder_.write("tokenizer.json", small_tokenizer()).string();
};

TEST_F(Tokenize, MergesAndFallsBackToBytes) {
  const ProgramRun run = run_tessera({"tokenize", tokenizer_}, R"(["ab", "a b", "é"])");
  // "▁ab" merges its first pair first; é is the bytes C3 A9.
  EXPECT_EQ(report_of(run), (Ids{{261, 260}, {261, 258, 260}, {258, 0xC3 + 2, 0xA9 + 2}}));
  EXPECT_EQ(run.error, "");
}

TEST_F(Tokenize, AddsSpecialTokensOnRequest) {
  EXPECT_EQ(report_of(run_tessera({"tokenize", tokenizer_, "--special"}, R"(["a"])")), (Ids{{0, 261}}));
}

TEST_F(Tokenize, TakesAFolder) {
  EXPECT_EQ(report_of(run_tessera({"tokenize", folder_.path().string()}, R"(["a"])")), (Ids{{261}}));
}

TEST_F(Tokenize, DetokenizeIsItsInverse) {
  const nlohmann::json texts{"a", "ab  ba", "naïve 字 \xF0\x9F\x98\x80", "line\nbreak \"quoted\"", ""};
  const ProgramRun ids = run_tessera({"tokenize", tokenizer_}, texts.dump());
  EXPECT_EQ(report_of(run_tessera({"detokenize", tokenizer_}, ids.output)), texts);
}

TEST_F(Tokenize, DetokenizeKeepsSpecialTokens) {
  EXPECT_EQ(report_of(run_tessera({"detokenize", tokenizer_}, "[[0, 261], []]")), (nlohmann::json{"<s> a", ""}));
}

TEST_F(Tokenize, EmptyListsGiveEmptyLists) {
  EXPECT_EQ(report_of(run_tessera({"tokenize", tokenizer_}, "[]")), nlohmann::json::array());
  EXPECT_EQ(report_of(run_tessera({"detokenize", tokenizer_}, "[]")), nlohmann::json::array());
}

} // namespace
} // namespace tessera::test
