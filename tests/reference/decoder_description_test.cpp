#include "tessera/reference/decoder_description.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tessera/base/error.hpp"
#include "tests/reference/tiny_checkpoint.hpp"

namespace tessera::reference {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

DecoderDescription describe(const json& changes = json::object()) {
  return describe_decoder(test::tiny_config(changes), "config.json");
}

json qwen2(const json& changes = json::object()) {
  json config{{"architectures", {"Qwen2ForCausalLM"}}, {"model_type", "qwen2"}};
  config.update(changes);
  return config;
}

json mistral(const json& changes = json::object()) {
  json config{{"architectures", {"MistralForCausalLM"}}, {"model_type", "mistral"}};
  config.update(changes);
  return config;
}

TEST(DescribeDecoder, ReadsTheDimensions) {
  const DecoderDescription model = describe();
  EXPECT_EQ(model.model_type, "llama");
  EXPECT_EQ(model.vocabulary, 50);
  EXPECT_EQ(model.hidden, 24);
  EXPECT_EQ(model.layers, 2);
  EXPECT_EQ(model.query_heads, 4);
  EXPECT_EQ(model.kv_heads, 2);
  EXPECT_EQ(model.head_dim, 8);
  EXPECT_EQ(model.mlp_hidden, 40);
  EXPECT_EQ(model.max_positions, 64);
  EXPECT_FALSE(model.tied || model.qkv_bias || model.output_bias || model.mlp_bias);
}

TEST(DescribeDecoder, TakesTheDefaultsOfTheFamily) {
  json config = test::tiny_config({{"num_key_value_heads", nullptr}, {"head_dim", nullptr}});
  config.erase("max_position_embeddings");
  const DecoderDescription model = describe_decoder(config, "config.json");
  EXPECT_EQ(model.kv_heads, 4);
  EXPECT_EQ(model.head_dim, 6); // hidden_size / num_attention_heads
  EXPECT_EQ(model.max_positions, 2048);
}

TEST(DescribeDecoder, GivesQwen2BiasesOnQueriesKeysAndValuesOnly) {
  const DecoderDescription model = describe(qwen2());
  EXPECT_TRUE(model.qkv_bias);
  EXPECT_FALSE(model.output_bias || model.mlp_bias);
}

TEST(DescribeDecoder, GivesLlamaTheBiasesThatTheConfigNames) {
  const DecoderDescription model = describe({{"attention_bias", true}, {"mlp_bias", true}});
  EXPECT_TRUE(model.qkv_bias && model.output_bias && model.mlp_bias);
}

TEST(DescribeDecoder, GivesEveryMistralLayerTheWindow) {
  EXPECT_THAT(describe(mistral({{"sliding_window", 16}})).windows, ElementsAre(16, 16));
  EXPECT_THAT(describe(mistral({{"sliding_window", nullptr}})).windows, ElementsAre(0, 0));
  EXPECT_THAT(describe(mistral()).windows, ElementsAre(4096, 4096));
}

TEST(DescribeDecoder, GivesQwen2TheWindowOnlyWhereItIsUsed) {
  const json window{{"sliding_window", 8}, {"max_window_layers", 1}};
  EXPECT_THAT(describe(qwen2(window)).windows, ElementsAre(0, 0));
  json used = window;
  used["use_sliding_window"] = true;
  EXPECT_THAT(describe(qwen2(used)).windows, ElementsAre(0, 8));
  used["layer_types"] = {"sliding_attention", "full_attention"};
  EXPECT_THAT(describe(qwen2(used)).windows, ElementsAre(8, 0));
}

TEST(DescribeDecoder, ReadsRotaryScalingInBothSpellings) {
  const DecoderDescription older = describe({{"rope_scaling", {{"type", "linear"}, {"factor", 4.0}}}});
  EXPECT_EQ(older.rotary_scaling.kind, RotaryScaling::Kind::LINEAR);
  EXPECT_EQ(older.rotary_scaling.factor, 4.0);
  json config =
      test::tiny_config({{"rope_parameters", {{"rope_type", "linear"}, {"factor", 4.0}, {"rope_theta", 5e5}}}});
  config.erase("rope_theta");
  const DecoderDescription newer = describe_decoder(config, "config.json");
  EXPECT_EQ(newer.rotary_scaling.kind, RotaryScaling::Kind::LINEAR);
  EXPECT_EQ(newer.rope_theta, 5e5);
}

TEST(DescribeDecoder, RefusesWhatItDoesNotCompute) {
  EXPECT_THAT(
      [] {
        describe({{"architectures", {"OPTForCausalLM"}}});
      },
      ThrowsMessage<base::Unsupported>(HasSubstr("OPTForCausalLM")));
  EXPECT_THAT(
      [] {
        describe({{"rope_scaling", {{"rope_type", "ntk"}, {"factor", 4.0}}}});
      },
      ThrowsMessage<base::Unsupported>(HasSubstr("ntk")));
  EXPECT_THAT([] { describe({{"hidden_act", "relu"}}); }, ThrowsMessage<base::Unsupported>(HasSubstr("hidden_act")));
  EXPECT_THAT(
      [] {
        describe({{"partial_rotary_factor", 0.5}});
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("partial_rotary_factor")));
}

TEST(DescribeDecoder, RefusesImpossibleValues) {
  for (const auto& [key, value] : std::initializer_list<std::pair<const char*, json>>{{"num_key_value_heads", 3},
                                                                                      {"head_dim", 7},
                                                                                      {"vocab_size", 0},
                                                                                      {"num_hidden_layers", -1},
                                                                                      {"hidden_size", "24"},
                                                                                      {"rms_norm_eps", -1.0},
                                                                                      {"rope_theta", 0.0}}) {
    EXPECT_THAT([&] { describe({{key, value}}); }, ThrowsMessage<base::InvalidArgument>(HasSubstr(key))) << key;
  }
}

DecoderDescription falcon(const json& changes = json::object()) {
  json config{{"architectures", {"FalconForCausalLM"}}};
  config.update(changes);
  return describe_decoder(config, "config.json");
}

TEST(DescribeDecoder, TakesFalconsDefaultsWhichAreThoseOfThe7B) {
  const DecoderDescription model = falcon();
  EXPECT_EQ(model.vocabulary, 65024);
  EXPECT_EQ(model.hidden, 4544);
  EXPECT_EQ(model.layers, 32);
  EXPECT_EQ(model.query_heads, 71);
  EXPECT_EQ(model.kv_heads, 1);
  EXPECT_EQ(model.head_dim, 64);
  EXPECT_EQ(model.mlp_hidden, 4 * 4544);
  EXPECT_EQ(model.max_positions, 2048);
  EXPECT_EQ(model.norm, NormKind::LAYER);
  EXPECT_EQ(model.norm_eps, 1e-5);
  EXPECT_EQ(model.activation, Activation::GELU);
  EXPECT_TRUE(model.parallel_residual && model.projections == Projections::GROUPED && model.tied);
  EXPECT_FALSE(model.mlp_norm || model.gated_mlp || model.qkv_bias || model.output_bias || model.mlp_bias);
}

TEST(DescribeDecoder, ReadsFalconsKeysInBothSpellings) {
  const DecoderDescription newer = falcon({{"hidden_size", 64},
                                           {"num_hidden_layers", 3},
                                           {"num_attention_heads", 8},
                                           {"num_kv_heads", 2},
                                           {"new_decoder_architecture", true}});
  const DecoderDescription older =
      falcon({{"n_embed", 64}, {"n_layer", 3}, {"n_head", 8}, {"n_head_kv", 2}, {"new_decoder_architecture", true}});
  for (const DecoderDescription& model : {newer, older}) {
    EXPECT_EQ(model.hidden, 64);
    EXPECT_EQ(model.layers, 3);
    EXPECT_EQ(model.query_heads, 8);
    EXPECT_EQ(model.kv_heads, 2);
    EXPECT_EQ(model.mlp_hidden, 256);
    EXPECT_TRUE(model.mlp_norm);
  }
  EXPECT_THAT(
      [] {
        falcon({{"n_head", 4}, {"num_attention_heads", 8}});
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("num_attention_heads must be what n_head says (4)")));
}

TEST(DescribeDecoder, GivesFalconTheNormsThatItsArchitectureHas) {
  EXPECT_FALSE(falcon({{"new_decoder_architecture", true}, {"num_ln_in_parallel_attn", 1}}).mlp_norm); // Falcon 2
  const DecoderDescription sequential = falcon({{"parallel_attn", false}, {"multi_query", false}});
  EXPECT_FALSE(sequential.parallel_residual);
  EXPECT_TRUE(sequential.mlp_norm);
  EXPECT_EQ(sequential.kv_heads, 71);
  // The new architecture is parallel whatever parallel_attn says.
  EXPECT_TRUE(falcon({{"new_decoder_architecture", true}, {"parallel_attn", false}}).parallel_residual);
}

TEST(DescribeDecoder, RefusesAFalconThatItDoesNotCompute) {
  EXPECT_THAT([] { falcon({{"activation", "relu"}}); }, ThrowsMessage<base::Unsupported>(HasSubstr("received relu")));
  EXPECT_THAT(
      [] {
        falcon({{"hidden_size", 100}});
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("hidden_size must be a multiple")));
  EXPECT_THAT(
      [] {
        falcon({{"multi_query", false}, {"num_kv_heads", 1}});
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("num_kv_heads must be num_attention_heads")));
  EXPECT_EQ(falcon({{"activation", "gelu_pytorch_tanh"}}).activation, Activation::GELU_TANH);
}

TEST(InverseFrequencies, FallGeometrically) {
  const std::vector<float> frequencies = inverse_frequencies(describe());
  ASSERT_EQ(frequencies.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_FLOAT_EQ(frequencies[i], static_cast<float>(std::pow(10.0, -static_cast<double>(i))));
  }
}

TEST(InverseFrequencies, StretchLongWavesOnlyForLlama3) {
  // Wavelengths of 6.3, 63, 628 and 6283 positions. Below 128/4 = 32 they stay, above 128/1 they are stretched by 8.
  const std::vector<float> frequencies = inverse_frequencies(describe({{"rope_scaling",
                                                                        {{"rope_type", "llama3"},
                                                                         {"factor", 8.0},
                                                                         {"low_freq_factor", 1.0},
                                                                         {"high_freq_factor", 4.0},
                                                                         {"original_max_position_embeddings", 128}}}}));
  EXPECT_FLOAT_EQ(frequencies[0], 1.0F);
  const double smooth = (128.0 * 0.1 / (2.0 * M_PI) - 1.0) / 3.0;
  EXPECT_FLOAT_EQ(frequencies[1], static_cast<float>((1.0 - smooth) * 0.1 / 8.0 + smooth * 0.1));
  EXPECT_FLOAT_EQ(frequencies[2], 0.01F / 8.0F);
  EXPECT_FLOAT_EQ(frequencies[3], 0.001F / 8.0F);
}

} // namespace
} // namespace tessera::reference
