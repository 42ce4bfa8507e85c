#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tessera/checkpoint/config_reader.hpp"

namespace tessera::checkpoint {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

json normalized(const char* text) {
  return normalized_config(json::parse(text));
}

TEST(NormalizedConfig, TurnsTheNewSpellingIntoTheOlderOne) {
  const json newer = normalized(R"({"dtype": "bfloat16", "layer_types": ["full_attention"],
      "rope_parameters": {"rope_theta": 5e5, "rope_type": "llama3", "factor": 8.0, "partial_rotary_factor": 0.5}})");
  const json older = json::parse(R"({"torch_dtype": "bfloat16", "layer_types": ["full_attention"], "rope_theta": 5e5,
      "partial_rotary_factor": 0.5, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}})");
  EXPECT_EQ(newer, older);
  EXPECT_EQ(normalized_config(older), older);
  EXPECT_EQ(normalized_config(newer), newer);
}

TEST(NormalizedConfig, LeavesOutAScalingThatScalesNothing) {
  const json plain = {{"rope_theta", 1e4}};
  EXPECT_EQ(normalized(R"({"rope_parameters": {"rope_theta": 1e4, "rope_type": "default"}})"), plain);
  EXPECT_EQ(normalized(R"({"rope_theta": 1e4, "rope_scaling": null})"), plain);
  EXPECT_EQ(normalized(R"({"rope_theta": 1e4, "rope_scaling": {"type": "default"}, "rope_parameters": null})"), plain);
}

TEST(NormalizedConfig, ReadsTheOldKeyTypeOfAScaling) {
  const json expected = json::parse(R"({"rope_scaling": {"rope_type": "linear", "factor": 2}})");
  EXPECT_EQ(normalized(R"({"rope_scaling": {"type": "linear", "factor": 2}})"), expected);
  EXPECT_EQ(normalized(R"({"rope_scaling": {"type": "linear", "rope_type": "linear", "factor": 2}})"), expected);
}

TEST(NormalizedConfig, AcceptsBothSpellingsThatAgree) {
  EXPECT_EQ(normalized(R"({"dtype": "float32", "torch_dtype": "float32"})"), json({{"torch_dtype", "float32"}}));
  EXPECT_EQ(normalized(R"({"dtype": "float32", "torch_dtype": null})"), json({{"torch_dtype", "float32"}}));
  EXPECT_EQ(normalized(R"({"rope_theta": 10000, "rope_parameters": {"rope_theta": 10000.0}})"),
            json({{"rope_theta", 10000}}));
}

TEST(NormalizedConfig, RefusesSpellingsThatContradictEachOther) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"dtype": "float32", "torch_dtype": "bfloat16"})", "torch_dtype and dtype must agree"},
      {R"({"rope_theta": 1, "rope_parameters": {"rope_theta": 2}})", "rope_theta and rope_parameters.rope_theta"},
      {R"({"rope_scaling": {"rope_type": "linear", "factor": 2}, "rope_parameters": {"rope_type": "yarn", "factor": 2}})",
       "rope_scaling and rope_parameters"},
      {R"({"rope_scaling": {"rope_type": "linear", "type": "yarn"}})", "rope_type and type"},
      {R"({"rope_parameters": 3})", "rope_parameters must be an object"},
      {R"([])", "must hold a JSON object"}};
  for (const auto& [text, expected] : cases) {
    EXPECT_THAT([t = text] { normalized(t); }, ThrowsMessage<base::InvalidArgument>(HasSubstr(expected))) << text;
  }
}

TEST(NormalizedConfig, DoesNotSupportRopeParametersPerLayerType) {
  EXPECT_THROW(normalized(R"({"rope_parameters": {"full_attention": {"rope_theta": 1e6}}})"), base::Unsupported);
}

} // namespace
} // namespace tessera::checkpoint
