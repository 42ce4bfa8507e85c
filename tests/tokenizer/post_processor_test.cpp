#include "tessera/tokenizer/post_processor.hpp"

#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tests/tokenizer/error_text.hpp"
#include "tests/tokenizer/tokenizer_json.hpp"

namespace tessera::tokenizer {
namespace {

using ::testing::HasSubstr;

Ids process(std::string_view json, Ids ids) {
  const Json document = Json::parse(json);
  std::vector<Encoding> texts{Encoding::of(std::move(ids), 0)};
  make_post_processor(JsonNode(document, "post_processor"))->apply(texts);
  return join(texts).ids;
}

Encoding process_pair(std::string_view json, Ids first, Ids second) {
  const Json document = Json::parse(json);
  std::vector<Encoding> texts{Encoding::of(std::move(first), 0), Encoding::of(std::move(second), 1)};
  make_post_processor(JsonNode(document, "post_processor"))->apply(texts);
  return join(texts);
}

constexpr auto kBosAndEos = R"({"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
               {"SpecialToken": {"id": "</s>", "type_id": 0}}],
    "pair": [],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]},
                       "</s>": {"id": "</s>", "ids": [2, 3], "tokens": ["</", "s>"]}}})";

TEST(PostProcessor, TemplatePutsItsTokensAroundTheText) {
  EXPECT_EQ(process(kBosAndEos, {7, 8}), (Ids{1, 7, 8, 2, 3}));
  EXPECT_EQ(process(kBosAndEos, {}), (Ids{1, 2, 3}));
}

TEST(PostProcessor, ByteLevelLeavesIdsAlone) {
  EXPECT_EQ(process(R"({"type": "ByteLevel", "trim_offsets": true})", {7, 8}), (Ids{7, 8}));
}

TEST(PostProcessor, SequenceAppliesItsStepsInOrder) {
  const std::string twice =
      fmt::format(R"({{"type": "Sequence", "processors": [{{"type": "ByteLevel"}}, {0}, {0}]}})", kBosAndEos);
  EXPECT_EQ(process(twice, {7}), (Ids{1, 1, 7, 2, 3, 2, 3}));
}

TEST(PostProcessor, UnknownTypesNameTheKnownOnes) {
  const auto text = error_text<base::Unsupported>([] { process(R"({"type": "RobertaProcessing"})", {}); });
  EXPECT_THAT(text,
              HasSubstr("Sequence, ByteLevel, TemplateProcessing, BertProcessing; received \"RobertaProcessing\""));
}

TEST(PostProcessor, TemplatesNeedTheTextOnceAndKnownTokens) {
  const auto error_of = [](const std::function<void(Json&)>& change) {
    Json document = Json::parse(kBosAndEos);
    change(document);
    return error_text<base::InvalidArgument>([&] { process(document.dump(), {}); });
  };
  EXPECT_THAT(error_of([](Json& d) { d["single"].erase(1); }), HasSubstr("the text A once"));
  EXPECT_THAT(error_of([](Json& d) { d["single"].push_back(d["single"][1]); }), HasSubstr("the text A once"));
  EXPECT_THAT(error_of([](Json& d) { d["single"][1]["Sequence"]["id"] = "B"; }), HasSubstr("the text A alone"));
  EXPECT_THAT(error_of([](Json& d) { d["single"][1]["Sequence"]["id"] = "C"; }), HasSubstr("must be A or B"));
  EXPECT_THAT(error_of([](Json& d) { d["special_tokens"].erase("<s>"); }),
              HasSubstr("special_tokens[\"<s>\"] must be an object"));
  EXPECT_THAT(error_of([](Json& d) { d["special_tokens"]["<s>"]["ids"] = {-1}; }), HasSubstr("token id"));
  EXPECT_THAT(error_of([](Json& d) { d["single"] = "A"; }), HasSubstr("an array"));
  EXPECT_THAT(error_of([](Json& d) { d["single"][0]["SpecialToken"]["id"] = "a\nb"; }), HasSubstr("[\"a\\nb\"]"));
}

TEST(PostProcessor, TemplatesOfTwoTextsSayWhichTypeEachTokenIs) {
  Json document = Json::parse(kBosAndEos);
  document["pair"] =
      Json::parse(R"([{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}},
      {"SpecialToken": {"id": "</s>", "type_id": 1}}, {"Sequence": {"id": "A", "type_id": 2}}])");
  const Encoding both = process_pair(document.dump(), {7, 8}, {9});
  EXPECT_EQ(both.ids, (Ids{1, 9, 2, 3, 7, 8}));
  EXPECT_EQ(both.type_ids, (Ids{0, 1, 1, 1, 2, 2}));
}

TEST(PostProcessor, BertPutsSeparatorsBehindEachText) {
  constexpr auto kBert = R"({"type": "BertProcessing", "sep": ["[SEP]", 102], "cls": ["[CLS]", 101]})";
  EXPECT_EQ(process(kBert, {7, 8}), (Ids{101, 7, 8, 102}));
  const Encoding both = process_pair(kBert, {7, 8}, {9});
  EXPECT_EQ(both.ids, (Ids{101, 7, 8, 102, 9, 102}));
  EXPECT_EQ(both.type_ids, (Ids{0, 0, 0, 0, 1, 1}));
  EXPECT_THAT(error_text<base::InvalidArgument>([] { process(R"({"type": "BertProcessing", "cls": ["a"]})", {}); }),
              HasSubstr("post_processor.cls must be a token and its id"));
}

TEST(PostProcessor, TwoTextsNeedATemplateForThem) {
  EXPECT_THAT(error_text<base::InvalidArgument>([] { process_pair(kBosAndEos, {7}, {8}); }),
              HasSubstr("two texts need a tokenizer whose post-processor has a template for them"));
  const Encoding apart = process_pair(R"({"type": "ByteLevel"})", {7}, {8});
  EXPECT_EQ(apart.ids, (Ids{7, 8}));
  EXPECT_EQ(apart.type_ids, (Ids{0, 1}));
}

TEST(PostProcessor, ATokenizerRefusesTemplateIdsThatNameNoToken) {
  Json file = sentencepiece_file({"a"});
  file["post_processor"]["special_tokens"]["<s>"]["ids"] = {99999};
  EXPECT_THAT(error_text<base::InvalidArgument>([&] { make_tokenizer(file); }), HasSubstr("99999"));
}

} // namespace
} // namespace tessera::tokenizer
