#include "tessera/nn/precision.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tests/base/temporary_folder.hpp"

namespace tessera::nn {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using enum DataType;

const PrecisionSubject kLlama{.family = "llama", .layers = 4, .parameters = 8'000'000'000};

void expect_layer(const LayerPrecision& layer, const LayerPrecision& expected) {
  EXPECT_EQ(layer.wqkv, expected.wqkv);
  EXPECT_EQ(layer.wo, expected.wo);
  EXPECT_EQ(layer.ff1_3, expected.ff1_3);
  EXPECT_EQ(layer.ff2, expected.ff2);
  EXPECT_EQ(layer.kv_cache, expected.kv_cache);
}

TEST(PrecisionPreset, FullIsFloat32WithWeightsAsStored) {
  const Precision full = make_precision("full", kLlama);
  EXPECT_TRUE(full.weights_as_stored);
  EXPECT_EQ(full.activation, FLOAT32);
  EXPECT_EQ(full.layer.kv_cache, FLOAT32);
}

TEST(PrecisionPreset, UniformOnesPutAllMatmulWeightsInOneFormat) {
  for (const auto& [name, dtype] : {std::pair{"bf16", BFLOAT16}, {"bfp8", BFLOAT8_B}, {"bfp4", BFLOAT4_B}}) {
    const Precision precision = make_precision(name, kLlama);
    EXPECT_EQ(precision.name, name);
    expect_layer(precision.layer, {dtype, dtype, dtype, dtype, BFLOAT16});
    EXPECT_EQ(precision.lm_head, dtype);
    EXPECT_EQ(precision.embedding, BFLOAT16);
    EXPECT_EQ(precision.norm, BFLOAT16);
    EXPECT_EQ(precision.activation, BFLOAT16);
    EXPECT_FALSE(precision.weights_as_stored);
  }
}

// tt_transformers: model_config.py, ModelOptimizations; but for the KV cache, which stays in BFLOAT16 here.
TEST(PrecisionPreset, AccuracyDependsOnFamilyAndSize) {
  for (const char* family : {"llama", "mistral", "phi3"}) {
    expect_layer(make_precision("accuracy", {family, 32, 8'000'000'000}).layer,
                 {BFLOAT8_B, BFLOAT8_B, BFLOAT8_B, BFLOAT8_B, BFLOAT16});
  }
  expect_layer(make_precision("accuracy", {"qwen2", 32, 8'000'000'000}).layer,
               {BFLOAT16, BFLOAT16, BFLOAT8_B, BFLOAT8_B, BFLOAT16});
  expect_layer(make_precision("accuracy", {"llama", 80, 70'000'000'000}).layer,
               {BFLOAT8_B, BFLOAT8_B, BFLOAT4_B, BFLOAT8_B, BFLOAT16});
}

TEST(PrecisionPreset, PerformancePutsGateAndUpInBfp4) {
  expect_layer(make_precision("performance", kLlama).layer, {BFLOAT8_B, BFLOAT8_B, BFLOAT4_B, BFLOAT8_B, BFLOAT8_B});
}

TEST(PrecisionPreset, UnknownNamesListTheKnownOnes) {
  EXPECT_THAT([] { make_precision("fp8", kLlama); }, ThrowsMessage<base::InvalidArgument>(HasSubstr(
                                                         "one of full, bf16, bfp8, bfp4, accuracy, performance or a "
                                                         ".json file is required; received \"fp8\"")));
}

class PrecisionFile : public testing::Test {
 protected:
  Precision read(const std::string& json) const {
    return make_precision(folder_.write("p.json", json).string(), kLlama);
  }
  void expect_refused(const std::string& json, const std::string& part) const {
    EXPECT_THAT([&] { read(json); }, ThrowsMessage<base::InvalidArgument>(HasSubstr(part))) << json;
  }

  test::TemporaryFolder folder_;
};

TEST_F(PrecisionFile, ChangesGroupsAndLayersOfAPreset) {
  const Precision precision = read(R"({"base": "bfp8", "lm_head": "bf16", "ff1_3": "BFLOAT4_B", "norm": "f32",
      "embedding": "f32", "activation": "f32",
      "layers": {"0": {"ff2": "bf16", "kv_cache": "bfp8"}, "3": {"wqkv": "bfp2"}}})");
  EXPECT_TRUE(precision.name.ends_with("p.json"));
  expect_layer(precision.of_layer(1), {BFLOAT8_B, BFLOAT8_B, BFLOAT4_B, BFLOAT8_B, BFLOAT16});
  expect_layer(precision.of_layer(0), {BFLOAT8_B, BFLOAT8_B, BFLOAT4_B, BFLOAT16, BFLOAT8_B});
  expect_layer(precision.of_layer(3), {BFLOAT2_B, BFLOAT8_B, BFLOAT4_B, BFLOAT8_B, BFLOAT16});
  EXPECT_EQ(precision.lm_head, BFLOAT16);
  EXPECT_EQ(precision.norm, FLOAT32);
  EXPECT_EQ(precision.embedding, FLOAT32);
  EXPECT_EQ(precision.activation, FLOAT32);
}

TEST_F(PrecisionFile, ReachesTheArithmeticOfOpGroups) {
  const Precision precision = read(R"({"base": "bf16", "li_ff1_3": "lofi", "sdpa_decode": "hifi2",
      "layers": {"1": {"li_qkv_prefill": {"math_fidelity": "HiFi3", "fp32_dest_acc_en": false, "packer_l1_acc": true}}}})");
  const LayerPrecision& all = precision.of_layer(0);
  EXPECT_EQ(all.li_ff1_3.prefill, named_compute_config("lofi"));
  EXPECT_EQ(all.li_ff1_3.decode, named_compute_config("lofi"));
  EXPECT_EQ(all.sdpa.decode, named_compute_config("hifi2"));
  EXPECT_FALSE(all.sdpa.prefill.has_value());
  EXPECT_FALSE(all.li_qkv.prefill.has_value());
  const LayerPrecision& second = precision.of_layer(1);
  EXPECT_EQ(second.li_qkv.prefill, (ComputeConfig{MathFidelity::HiFi3, false, false, true}));
  EXPECT_FALSE(second.li_qkv.decode.has_value());
  expect_refused(R"({"li_ff2": "hifi5"})", "received \"hifi5\"");
  expect_refused(R"({"li_ff2": 2})", "li_ff2 must be a name such as");
  expect_refused(R"({"li_ff2": {"math_fidelity": "hifi2"}})", "math_fidelity LoFi, HiFi2, HiFi3 or HiFi4");
  expect_refused(R"({"li_ff2": {"packer_l1_acc": 1}})", "li_ff2 takes math_fidelity");
  expect_refused(R"({"li_ff4": "lofi"})", "received \"li_ff4\"");
}

TEST_F(PrecisionFile, PresetsOfTtTransformersChooseTheirArithmetic) {
  const LayerPrecision accuracy = make_precision("accuracy", kLlama).layer;
  EXPECT_EQ(accuracy.li_ff1_3.decode, named_compute_config("hifi2fp16"));
  EXPECT_EQ(accuracy.sdpa.prefill, named_compute_config("hifi4"));
  EXPECT_EQ(make_precision("performance", kLlama).layer.li_ff1_3.decode, named_compute_config("lofi"));
  EXPECT_FALSE(make_precision("bfp8", kLlama).layer.li_ff1_3.decode.has_value());
}

TEST_F(PrecisionFile, StandsOnAccuracyByDefault) {
  const Precision precision = read("{}");
  const Precision accuracy = make_precision("accuracy", kLlama);
  expect_layer(precision.layer, accuracy.layer);
  EXPECT_EQ(precision.lm_head, accuracy.lm_head);
}

TEST_F(PrecisionFile, LayersTakeTheFilesGroupsWhateverTheOrderOfKeys) {
  const Precision precision = read(R"({"layers": {"2": {"ff2": "bf16"}}, "wo": "bfp4"})");
  EXPECT_EQ(precision.of_layer(2).wo, BFLOAT4_B);
}

TEST_F(PrecisionFile, RefusesUnknownKeysFormatsAndLayers) {
  expect_refused(R"({"ff3": "bf16"})", "received \"ff3\"");
  expect_refused(R"({"wo": "fp16"})", "received \"fp16\"");
  expect_refused(R"({"wo": 8})", "wo must be a format such as \"bfp8\"; received 8");
  expect_refused(R"({"wo": "i32"})", "wo must be a floating-point format");
  expect_refused(R"({"embedding": "bfp8"})", "embedding must be f32 or bf16");
  expect_refused(R"({"base": "fast"})", "received \"fast\"");
  expect_refused(R"({"base": 3})", "base must be the name of a preset; received 3");
  expect_refused(R"({"base": "full"})", "base must not be full");
  expect_refused(R"({"layers": []})", "layers must be an object of layer numbers");
  expect_refused(R"({"layers": {"4": {}}})", "layers must map numbers in 0..3");
  expect_refused(R"({"layers": {"-1": {}}})", "layers must map numbers in 0..3");
  expect_refused(R"({"layers": {"1x": {}}})", "layers must map numbers in 0..3");
  expect_refused(R"({"layers": {"1": "bf16"}})", "layers must map numbers in 0..3");
  expect_refused(R"({"layers": {"1": {"lm_head": "bf16"}}})", "a layer's keys are wqkv, wo, ff1_3, ff2, kv_cache");
}

TEST_F(PrecisionFile, RefusesFilesThatAreNoJsonObject) {
  for (const char* text : {"", "{", "[]", "\"bf16\"", "{\"wo\": \"bf16\"} x", "\xff\xfe"}) {
    EXPECT_THAT([&] { read(text); }, ThrowsMessage<base::IoError>(HasSubstr("must hold a JSON object"))) << text;
  }
  EXPECT_THAT([&] { make_precision((folder_.path() / "absent.json").string(), kLlama); },
              ThrowsMessage<base::IoError>(HasSubstr("absent.json")));
}

} // namespace
} // namespace tessera::nn
