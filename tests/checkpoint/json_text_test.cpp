#include "tessera/checkpoint/json_text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tessera/base/error.hpp"
#include "tessera/checkpoint/nearest_names.hpp"

namespace tessera::checkpoint {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;

std::string nested(std::size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

TEST(ParseJson, AcceptsSixtyFourLevelsAndNoMore) {
  EXPECT_TRUE(parse_json(nested(64), "x.json").is_array());
  EXPECT_THAT([] { parse_json(nested(65), "x.json"); },
              ThrowsMessage<base::IoError>(AllOf(HasSubstr("x.json"), HasSubstr("64 levels"))));
  EXPECT_THROW(parse_json(std::string(10'000'000, '['), "x.json"), base::IoError);
}

TEST(ParseJson, CountsNoBracketsInStrings) {
  const std::string text = "[\"" + std::string(100, '[') + "\\\"" + std::string(100, '{') + "\"]";
  EXPECT_EQ(parse_json(text, "x.json").size(), 1u);
}

TEST(ParseJson, RefusesAKeyThatComesTwice) {
  EXPECT_THAT([] { parse_json(R"({"a": 1, "b": {"a": 2}, "a": 3})", "x.json"); },
              ThrowsMessage<base::IoError>(HasSubstr("\"a\" twice")));
  EXPECT_NO_THROW(parse_json(R"({"a": 1, "b": {"a": 2}, "c": [{"a": 3}, {"a": 4}]})", "x.json"));
}

TEST(ParseJson, SaysInOneLineWhatIsWrong) {
  for (const char* text : {"", "{\"a\": 1,}", "{\"a\": \"\xff\xfe\"}", "{\"a\"\n: tru}", "{} x", "[1e999]", "\"\n\""}) {
    EXPECT_THAT([&] { parse_json(text, "x.json"); },
                ThrowsMessage<base::IoError>(AllOf(HasSubstr("[json] x.json"), Not(HasSubstr("\n")))))
        << text;
  }
}

TEST(Printable, IsOneCutLineOfAscii) {
  EXPECT_EQ(printable("a\nb\xff"), "a?b?");
  EXPECT_EQ(printable("abcdef", 3), "abc...");
}

TEST(PrintableJson, CutsLongValues) {
  EXPECT_EQ(printable_json("x"), "\"x\"");
  EXPECT_EQ(printable_json(nlohmann::json::array({1, 2})), "[1,2]");
  EXPECT_EQ(printable_json(nlohmann::json(std::vector<int>(100, 7))), "an array of 100 values");
  EXPECT_LT(printable_json(std::string(1000, 'x')).size(), 80u);
}

TEST(NearestNames, RanksByEditDistance) {
  const std::vector<std::string> names = {"lm_head.weight", "model.norm.weight", "model.norm.bias", "norm.weight"};
  EXPECT_THAT(nearest_names("model.norn.weight", names, 2), ElementsAre("model.norm.weight", "model.norm.bias"));
  EXPECT_THAT(nearest_names("x", {}, 2), ElementsAre());
}

} // namespace
} // namespace tessera::checkpoint
