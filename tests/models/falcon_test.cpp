#include "tessera/models/falcon/falcon.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tessera/metrics/comparison.hpp"
#include "tessera/models/load.hpp"
#include "tessera/reference/reference.hpp"
#include "tests/reference/tiny_checkpoint.hpp"

namespace tessera::models {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::ThrowsMessage;

nn::DecoderConfig configure(const json& config) {
  return configure_falcon(checkpoint::ConfigReader(config));
}

TEST(ConfigureFalcon, TakesTheDefaultsWhichAreThoseOfThe7B) {
  const nn::DecoderConfig decoder = configure(json::object());
  EXPECT_EQ(decoder.family, "falcon");
  EXPECT_EQ(decoder.vocab_size, 65024);
  EXPECT_EQ(decoder.hidden_size, 4544);
  EXPECT_EQ(decoder.intermediate_size, 18176);
  EXPECT_EQ(decoder.layers, 32);
  EXPECT_EQ(decoder.heads, 71);
  EXPECT_EQ(decoder.kv_heads, 1);
  EXPECT_EQ(decoder.head_dim, 64);
  EXPECT_EQ(decoder.max_positions, 2048);
  EXPECT_EQ(decoder.norm, nn::NormKind::LAYER);
  EXPECT_EQ(decoder.norm_epsilon, 1e-5);
  EXPECT_EQ(decoder.rope.theta, 10000.0);
  EXPECT_EQ(decoder.activation, ops::Activation::GELU);
  EXPECT_TRUE(decoder.parallel_residual && decoder.fused_qkv() && decoder.tied_embeddings);
  EXPECT_FALSE(decoder.mlp_norm || decoder.gated_mlp || decoder.qkv_bias || decoder.o_bias || decoder.mlp_bias);
  EXPECT_EQ(decoder.parameters(), 6'921'720'704); // as published
}

TEST(ConfigureFalcon, ReadsThePublishedConfigurations) {
  struct Published {
    const char* file;
    std::int64_t kv_heads;
    std::int64_t parameters;
    bool mlp_norm;
  };
  // What 7B, 40B and 180B stand for, counted weight by weight; the stored copy of the embedding left out.
  for (const Published& published :
       {Published{"falcon-7b", 1, 6'921'720'704, false}, Published{"falcon-40b", 8, 41'303'293'952, true},
        Published{"falcon-180b", 8, 178'557'088'768, true}}) {
    const auto checkpoint =
        checkpoint::Checkpoint::open_config(fmt::format("{}/configs/{}.json", TESSERA_SOURCE_DIR, published.file));
    const nn::DecoderConfig decoder = models::configure(checkpoint);
    EXPECT_EQ(decoder.kv_heads, published.kv_heads) << published.file;
    EXPECT_EQ(decoder.head_dim, 64) << published.file;
    EXPECT_EQ(decoder.mlp_norm, published.mlp_norm) << published.file;
    EXPECT_EQ(decoder.parameters(), published.parameters) << published.file;
  }
}

TEST(ConfigureFalcon, ReadsKeysInBothSpellings) {
  const json newer{{"hidden_size", 64},   {"num_hidden_layers", 3}, {"num_attention_heads", 8},
                   {"num_kv_heads", 2},   {"ffn_hidden_size", 100}, {"new_decoder_architecture", true},
                   {"rope_theta", 500.0}, {"bias", true},           {"tie_word_embeddings", false}};
  const json older{
      {"n_embed", 64}, {"n_layer", 3}, {"n_head", 8}, {"n_head_kv", 2}, {"new_decoder_architecture", true}};
  for (const json& config : {newer, older}) {
    const nn::DecoderConfig decoder = configure(config);
    EXPECT_EQ(decoder.hidden_size, 64);
    EXPECT_EQ(decoder.layers, 3);
    EXPECT_EQ(decoder.heads, 8);
    EXPECT_EQ(decoder.kv_heads, 2);
    EXPECT_TRUE(decoder.mlp_norm && decoder.parallel_residual);
  }
  EXPECT_EQ(configure(older).intermediate_size, 256);
  const nn::DecoderConfig decoder = configure(newer);
  EXPECT_EQ(decoder.intermediate_size, 100);
  EXPECT_EQ(decoder.rope.theta, 500.0);
  EXPECT_TRUE(decoder.qkv_bias && decoder.o_bias && decoder.mlp_bias);
  EXPECT_FALSE(decoder.tied_embeddings);
}

TEST(ConfigureFalcon, RefusesWhatIsImpossibleOrNotBuilt) {
  EXPECT_THAT(
      [] {
        configure({{"activation", "relu"}});
      },
      ThrowsMessage<base::Unsupported>(HasSubstr("received \"relu\"")));
  EXPECT_THAT(
      [] {
        configure({{"hidden_size", 100}});
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("hidden_size must be a multiple of 2 x 71")));
  EXPECT_THAT(
      [] {
        configure(json{{"n_head", 4}, {"num_attention_heads", 8}});
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("num_attention_heads must be 4, as n_head says")));
  EXPECT_THAT(
      [] {
        configure(json{{"new_decoder_architecture", true}, {"num_kv_heads", 3}});
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("num_kv_heads must be a divisor")));
  EXPECT_THAT(
      [] {
        configure(json{{"multi_query", false}, {"num_kv_heads", 1}});
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("num_kv_heads must be num_attention_heads (71)")));
}

TEST(FalconNames, FollowTheNormsOfTheLayers) {
  const nn::DecoderNames seven = falcon_names(configure(json::object()));
  EXPECT_EQ(seven.of_layer(3, seven.input_norm), "transformer.h.3.input_layernorm");
  const nn::DecoderNames forty = falcon_names(configure({{"new_decoder_architecture", true}}));
  EXPECT_EQ(forty.input_norm, "ln_attn");
  EXPECT_EQ(forty.post_attention_norm, "ln_mlp");
  const json falcon2{{"new_decoder_architecture", true}, {"num_ln_in_parallel_attn", 1}};
  EXPECT_EQ(falcon_names(configure(falcon2)).input_norm, "input_layernorm");
  const json sequential{{"parallel_attn", false}};
  EXPECT_EQ(falcon_names(configure(sequential)).post_attention_norm, "post_attention_layernorm");
}

/// The device against the reference, which reads config.json by itself.
TEST(Falcon, EveryArchitectureGivesTheReferencesLogits) {
  if (!reference::available()) GTEST_SKIP() << "built without libtorch";
  const std::vector<json> architectures{
      json::object(),
      {{"bias", true}, {"activation", "gelu_new"}},
      {{"new_decoder_architecture", true}, {"num_kv_heads", 2}, {"bias", true}},
      {{"new_decoder_architecture", true}, {"num_kv_heads", 4}, {"num_ln_in_parallel_attn", 1}},
      {{"multi_query", false}, {"parallel_attn", false}, {"bias", true}, {"tie_word_embeddings", false}},
  };
  const std::vector<std::int32_t> ids{3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 9, 32, 38, 46};
  for (const json& changes : architectures) {
    const json config = test::tiny_falcon_config(changes);
    const test::TemporaryFolder folder;
    test::write_tiny_checkpoint(folder, config, test::tiny_weights(config));
    const auto checkpoint = checkpoint::Checkpoint::open(folder.path().string());
    const auto expected = reference::open(checkpoint)->prefill(0, ids, nn::LogitsRows::ALL, nullptr);
    const auto device = runtime::MeshDevice::open({});
    const auto model = load(device, checkpoint, {.precision = "full"});
    const auto logits = model->prefill(0, ids, nn::LogitsRows::ALL, nullptr);
    // fp32 in another order: logits of about 5 over sums of 40 terms, two layers deep.
    EXPECT_LE(metrics::max_abs_error(expected.data, logits.data), 1e-4) << changes;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const auto position = static_cast<std::int32_t>(i);
      const auto row = model->decode(std::span(ids).subspan(i, 1), std::span(&position, 1), nullptr);
      EXPECT_LE(metrics::max_abs_error(expected.row(position), row.data), 1e-4) << changes << " at " << position;
    }
  }
}

} // namespace
} // namespace tessera::models
