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
  make_post_processor(JsonNode(document, "post_processor"))->apply(ids);
  return ids;
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
  const auto text = error_text<base::Unsupported>([] { process(R"({"type": "BertProcessing"})", {}); });
  EXPECT_THAT(text, HasSubstr("Sequence, ByteLevel, TemplateProcessing; received \"BertProcessing\""));
}

TEST(PostProcessor, TemplatesNeedTheTextOnceAndKnownTokens) {
  const auto error_of = [](const std::function<void(Json&)>& change) {
    Json document = Json::parse(kBosAndEos);
    change(document);
    return error_text<base::InvalidArgument>([&] { process(document.dump(), {}); });
  };
  EXPECT_THAT(error_of([](Json& d) { d["single"].erase(1); }), HasSubstr("the text A once"));
  EXPECT_THAT(error_of([](Json& d) { d["single"].push_back(d["single"][1]); }), HasSubstr("the text A once"));
  EXPECT_THAT(error_of([](Json& d) { d["single"][1]["Sequence"]["id"] = "B"; }), HasSubstr("must be A"));
  EXPECT_THAT(error_of([](Json& d) { d["special_tokens"].erase("<s>"); }),
              HasSubstr("special_tokens[\"<s>\"] must be an object"));
  EXPECT_THAT(error_of([](Json& d) { d["special_tokens"]["<s>"]["ids"] = {-1}; }), HasSubstr("token id"));
  EXPECT_THAT(error_of([](Json& d) { d["single"] = "A"; }), HasSubstr("an array"));
  EXPECT_THAT(error_of([](Json& d) { d["single"][0]["SpecialToken"]["id"] = "a\nb"; }), HasSubstr("[\"a\\nb\"]"));
}

TEST(PostProcessor, ATokenizerRefusesTemplateIdsThatNameNoToken) {
  Json file = sentencepiece_file({"a"});
  file["post_processor"]["special_tokens"]["<s>"]["ids"] = {99999};
  EXPECT_THAT(error_text<base::InvalidArgument>([&] { make_tokenizer(file); }), HasSubstr("99999"));
}

} // namespace
} // namespace tessera::tokenizer
