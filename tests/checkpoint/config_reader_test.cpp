#include "tessera/checkpoint/config_reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tessera/base/error.hpp"

namespace tessera::checkpoint {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StrEq;
using ::testing::ThrowsMessage;

const json kConfig = json::parse(R"({
  "layers": 3, "heads": "x", "big": 18446744073709551615, "eps": 1e-5, "theta": 10000, "tied": true, "act": "silu",
  "window": null, "eos": 2, "stops": [1, 2], "mixed": [1, "a"], "types": ["full_attention"],
  "rope": {"factor": 8.0, "low": -1}})");

TEST(ConfigReader, ReadsEveryType) {
  const ConfigReader reader(kConfig);
  EXPECT_EQ(reader.integer("layers", {1, 10}), 3);
  EXPECT_EQ(reader.number("eps", {0.0, 1.0}), 1e-5);
  EXPECT_EQ(reader.number("theta", {1.0}), 10000.0);
  EXPECT_TRUE(reader.boolean("tied"));
  EXPECT_EQ(reader.string("act"), "silu");
  EXPECT_THAT(reader.integers("eos", {0}), ElementsAre(2));
  EXPECT_THAT(reader.integers("stops", {0}), ElementsAre(1, 2));
  EXPECT_THAT(reader.numbers("stops", {0}), ElementsAre(1.0, 2.0));
  EXPECT_THAT(reader.strings("types"), ElementsAre("full_attention"));
  EXPECT_EQ(reader.object("rope")->number("factor", {1.0}), 8.0);
}

TEST(ConfigReader, TreatsNullAsAbsent) {
  const ConfigReader reader(kConfig);
  EXPECT_FALSE(reader.has("window"));
  EXPECT_EQ(reader.optional_integer("window", {}), std::nullopt);
  EXPECT_EQ(reader.integer_or("window", 7, {}), 7);
  EXPECT_EQ(reader.object("window"), std::nullopt);
  EXPECT_THAT(
      [&] {
        reader.integer("window", {1, 9});
      },
      ThrowsMessage<base::InvalidArgument>(
          StrEq("[config] window must be an integer in 1..9; received none; add it to config.json")));
}

TEST(ConfigReader, GivesDefaultsForAbsentKeys) {
  const ConfigReader reader(kConfig);
  EXPECT_EQ(reader.integer_or("absent", 7, {}), 7);
  EXPECT_EQ(reader.number_or("absent", 0.5, {}), 0.5);
  EXPECT_FALSE(reader.boolean_or("absent", false));
  EXPECT_EQ(reader.string_or("absent", "x"), "x");
  EXPECT_THAT(reader.integers("absent", {}), IsEmpty());
  EXPECT_THAT(reader.strings("absent"), IsEmpty());
}

TEST(ConfigReader, SaysWhatIsRequiredReceivedAndToBeDone) {
  const ConfigReader reader(kConfig, "model/config.json");
  EXPECT_THAT(
      [&] {
        reader.integer("heads", {1, 65536});
      },
      ThrowsMessage<base::InvalidArgument>(StrEq("[config] heads must be an integer in 1..65536; received \"x\"; "
                                                 "correct it in model/config.json")));
  EXPECT_THAT(
      [&] { reader.object("rope")->number("low", {0.0}); },
      ThrowsMessage<base::InvalidArgument>(StrEq("[config] rope.low must be a number of at least 0; received -1; "
                                                 "correct it in model/config.json")));
}

TEST(ConfigReader, RefusesWrongTypesAndValuesOutOfRange) {
  const ConfigReader reader(kConfig);
  const std::vector<std::function<void()>> wrong = {[&] {
                                                      reader.integer("layers", {4, 10});
                                                    },
                                                    [&] {
                                                      reader.integer("layers", {0, 2});
                                                    },
                                                    [&] {
                                                      reader.integer("big", {0, 1ll << 62});
                                                    },
                                                    [&] {
                                                      reader.integer("eps", {0, 1});
                                                    },
                                                    [&] {
                                                      reader.integer("tied", {0, 1});
                                                    },
                                                    [&] {
                                                      reader.number("eps", {0.1, 1.0});
                                                    },
                                                    [&] { reader.number("act", {}); },
                                                    [&] { reader.boolean("layers"); },
                                                    [&] { reader.string("layers"); },
                                                    [&] { reader.integers("mixed", {}); },
                                                    [&] {
                                                      reader.integers("stops", {0, 1});
                                                    },
                                                    [&] { reader.strings("mixed"); },
                                                    [&] { reader.strings("act"); },
                                                    [&] { reader.object("layers"); },
                                                    [&] { reader.string_or("layers", ""); },
                                                    [&] { reader.boolean_or("act", true); },
                                                    [&] { reader.reject("layers", "even"); }};
  for (std::size_t i = 0; i < wrong.size(); ++i) EXPECT_THROW(wrong[i](), base::InvalidArgument) << "case " << i;
}

TEST(ConfigReader, KnowsWhichKeysNobodyAskedFor) {
  const json config = {{"a", 1}, {"b", 2}, {"c", nullptr}};
  const ConfigReader reader(config);
  EXPECT_EQ(reader.integer("b", {}), 2);
  EXPECT_THAT(reader.unknown_keys(), ElementsAre("a", "c"));
  EXPECT_FALSE(reader.has("c"));
  EXPECT_THAT(reader.unknown_keys(), ElementsAre("a"));
}

TEST(ConfigReader, RefusesAConfigThatIsNoObject) {
  const json config = {1, 2};
  EXPECT_THROW(ConfigReader{config}, base::InvalidArgument);
}

} // namespace
} // namespace tessera::checkpoint
