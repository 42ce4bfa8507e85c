#include "tessera/tokenizer/bpe_model.hpp"

#include <gtest/gtest.h>

#include <chrono>

#include "tessera/base/error.hpp"
#include "tests/tokenizer/error_text.hpp"
#include "tests/tokenizer/tokenizer_json.hpp"

namespace tessera::tokenizer {
namespace {

using ::testing::HasSubstr;

BpeModel model_of(const Json& json) {
  return BpeModel(JsonNode(json, "model"));
}

std::vector<std::string> tokens(const Json& json, std::string_view piece) {
  const BpeModel model = model_of(json);
  Ids ids;
  model.encode(piece, ids);
  std::vector<std::string> out;
  for (const std::int32_t id : ids) out.push_back(*model.vocabulary().token(id));
  return out;
}
using Strings = std::vector<std::string>;

std::string error_of(const Json& json) {
  return error_text<base::InvalidArgument>([&] { model_of(json); });
}

TEST(BpeModel, AppliesTheLowestRankFirstAndTheLeftmostOfEquals) {
  const Json model = bpe_model({"a", "b", "c"}, {{"b", "c"}, {"a", "b"}, {"a", "a"}});
  EXPECT_EQ(tokens(model, "abc"), (Strings{"a", "bc"}));
  EXPECT_EQ(tokens(model, "abab"), (Strings{"ab", "ab"}));
  EXPECT_EQ(tokens(model, "aaa"), (Strings{"aa", "a"}));
  EXPECT_EQ(tokens(model, ""), Strings{});
}

TEST(BpeModel, MergesMergedTokensFurther) {
  const Json model = bpe_model({"a", "b"}, {{"a", "a"}, {"aa", "aa"}, {"aaaa", "b"}});
  EXPECT_EQ(tokens(model, "aaaaaab"), (Strings{"aaaa", "aa", "b"}));
  EXPECT_EQ(tokens(model, "aaaab"), Strings{"aaaab"});
}

TEST(BpeModel, ReadsMergesAsStringsToo) {
  Json model = bpe_model({"a", "b"}, {{"a", "b"}});
  model["merges"] = {"a b"};
  EXPECT_EQ(tokens(model, "ab"), Strings{"ab"});
}

TEST(BpeModel, ReadsAModelWithoutAType) {
  Json model = bpe_model({"a", "b"}, {{"a", "b"}});
  model.erase("type");
  EXPECT_EQ(tokens(model, "ab"), Strings{"ab"});
}

TEST(BpeModel, TakesTheWholePieceWhereMergesAreIgnored) {
  Json model = bpe_model({"a", "b", "c", "abc"}, {{"b", "c"}});
  EXPECT_EQ(tokens(model, "abc"), (Strings{"a", "bc"}));
  model["ignore_merges"] = true;
  EXPECT_EQ(tokens(model, "abc"), Strings{"abc"});
  EXPECT_EQ(tokens(model, "abca"), (Strings{"a", "bc", "a"}));
}

TEST(BpeModel, FallsBackToBytesThenToTheUnknownToken) {
  std::vector<std::string> vocabulary = byte_tokens();
  vocabulary.insert(vocabulary.end(), {"<unk>", "a"});
  Json model = bpe_model(vocabulary);
  EXPECT_EQ(tokens(model, "aé"), Strings{"a"}); // neither is set: the character is dropped
  model["unk_token"] = "<unk>";
  EXPECT_EQ(tokens(model, "aéüa"), (Strings{"a", "<unk>", "<unk>", "a"}));
  model["fuse_unk"] = true;
  EXPECT_EQ(tokens(model, "aéüaé"), (Strings{"a", "<unk>", "a", "<unk>"}));
  model["byte_fallback"] = true;
  EXPECT_EQ(tokens(model, "aé"), (Strings{"a", "<0xC3>", "<0xA9>"}));
  model["vocab"].erase("<0xA9>");
  EXPECT_EQ(tokens(model, "aé"), (Strings{"a", "<unk>"})); // all bytes or none
}

TEST(BpeModel, EncodesAMegabyteOfOnePieceInSeconds) {
  const BpeModel model = model_of(bpe_model({"a", "b"}, {{"a", "a"}, {"aa", "aa"}, {"aaaa", "aaaa"}, {"b", "a"}}));
  std::string text(1 << 20, 'a');
  for (std::size_t i = 0; i < text.size(); i += 7) text[i] = 'b';
  const auto start = std::chrono::steady_clock::now();
  Ids ids;
  model.encode(text, ids);
  // Under a second as measured; a method quadratic in the length would take hours.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  EXPECT_LT(ids.size(), text.size() / 2);
}

TEST(BpeModel, TakesHugeIdsWithoutRoomForThoseBelow) {
  Json model = bpe_model({"a", "b"});
  model["vocab"]["b"] = 2147483646;
  const BpeModel read = model_of(model);
  Ids ids;
  read.encode("ab", ids);
  EXPECT_EQ(ids, (Ids{0, 2147483646}));
}

TEST(BpeModel, RefusesOtherModelsAndOptionsThatAreNotBuilt) {
  const auto unsupported = [](const char* key, const Json& value) {
    Json model = bpe_model({"a"});
    model[key] = value;
    return error_text<base::Unsupported>([&] { make_model(JsonNode(model, "model")); });
  };
  EXPECT_THAT(unsupported("type", "Unigram"), HasSubstr("BPE, WordPiece; received \"Unigram\""));
  EXPECT_THAT(unsupported("continuing_subword_prefix", "##"), HasSubstr("model.continuing_subword_prefix"));
  EXPECT_THAT(unsupported("end_of_word_suffix", "</w>"), HasSubstr("model.end_of_word_suffix"));
  EXPECT_THAT(unsupported("dropout", 0.1), HasSubstr("model.dropout"));
  Json harmless = bpe_model({"a"});
  harmless["dropout"] = 0.0;
  harmless["continuing_subword_prefix"] = "";
  harmless["end_of_word_suffix"] = nullptr;
  EXPECT_EQ(tokens(harmless, "a"), Strings{"a"});
}

TEST(BpeModel, NamesWhatIsWrongWithItsMerges) {
  Json model = bpe_model({"a", "b"}, {{"a", "b"}});
  model["merges"] = {"a b", "a x"};
  EXPECT_THAT(error_of(model), HasSubstr("model.merges[1] must name tokens of the vocabulary"));
  model["merges"] = {"b a"};
  EXPECT_THAT(error_of(model), HasSubstr("\"ba\" is not in the vocabulary"));
  for (const Json& broken : {Json("ab"), Json("a b c"), Json({"a"}), Json({"a", 1}), Json(5), Json::object()}) {
    model["merges"] = Json::array({broken});
    EXPECT_THAT(error_of(model), HasSubstr("model.merges[0] must be two tokens"));
  }
  model["merges"] = "a b";
  EXPECT_THAT(error_of(model), HasSubstr("model.merges must be an array"));
}

TEST(BpeModel, NamesWhatIsWrongWithItsVocabulary) {
  Json model = bpe_model({"a", "b"});
  for (const Json& broken : {Json(-1), Json(2147483647), Json(1e30), Json(0.5), Json("0"), Json()}) {
    model["vocab"]["b"] = broken;
    EXPECT_THAT(error_of(model), HasSubstr("model.vocab[\"b\"] must be a token id"));
  }
  model["vocab"]["b"] = 0;
  EXPECT_THAT(error_of(model), HasSubstr("an id must name one token; received id 0"));
  model["vocab"] = Json::array({"a"});
  EXPECT_THAT(error_of(model), HasSubstr("model.vocab must be an object"));
  model = bpe_model({"a"});
  model["unk_token"] = "<unk>";
  EXPECT_THAT(error_of(model), HasSubstr("model.unk_token"));
}

} // namespace
} // namespace tessera::tokenizer
