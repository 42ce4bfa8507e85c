// docs/adding-a-model.md quotes this: a family added from nothing, and what its test shows.

#include <gtest/gtest.h>

#include "tessera/metrics/comparison.hpp"
#include "tessera/models/decoder_keys.hpp"
#include "tessera/models/load.hpp"
#include "tessera/reference/reference.hpp"
#include "tests/reference/tiny_checkpoint.hpp"

namespace tessera::models {
namespace {

nn::DecoderConfig configure_harbor(const checkpoint::ConfigReader& config) {
  nn::DecoderConfig decoder = read_decoder_keys(config, "harbor", {.kv_heads = 2, .head_dim = 8, .norm_epsilon = 1e-5});
  decoder.qk_norm = true;
  decoder.qkv_bias = config.boolean_or("use_bias", false);
  return decoder;
}

nn::DecoderNames harbor_names(const nn::DecoderConfig& /*decoder*/) {
  nn::DecoderNames names;
  names.embedding = "harbor.tokens";
  names.final_norm = "harbor.norm";
  names.layer = "harbor.blocks.{}.";
  names.q_norm = "self_attn.query_norm";
  names.k_norm = "self_attn.key_norm";
  return names;
}

TEST(ExampleFamily, TakesTheDefaultsOfTheOriginal) {
  const nlohmann::json config = nlohmann::json::object();
  const nn::DecoderConfig decoder = configure_harbor(checkpoint::ConfigReader(config));
  EXPECT_EQ(decoder.head_dim, 8);
  EXPECT_EQ(decoder.kv_heads, 2);
  EXPECT_TRUE(decoder.qk_norm);
  EXPECT_FALSE(decoder.qkv_bias);
}

// Harbor computes what Qwen3 does, which the reference knows: the same weights under Harbor's names give its logits.
TEST(ExampleFamily, GivesTheLogitsOfTheDefinition) {
  if (!reference::available()) GTEST_SKIP() << "built without libtorch";
  nlohmann::json config = test::tiny_config({{"architectures", {"Qwen3ForCausalLM"}}, {"model_type", "qwen3"}});
  test::TinyWeights weights = test::tiny_weights(config);
  test::TinyWeights renamed;
  for (int layer = 0; layer < 2; ++layer) {
    for (const char* norm : {"q_norm", "k_norm"}) {
      const std::string name = fmt::format("model.layers.{}.self_attn.{}.weight", layer, norm);
      weights[name] = {{8}, {0.9F, 1.1F, 1.2F, 0.8F, 1.0F, 1.3F, 0.7F, 1.1F}};
    }
  }
  const auto replace = [](std::string& name, const std::string& from, const std::string& to) {
    if (const std::size_t at = name.find(from); at != std::string::npos) name.replace(at, from.size(), to);
  };
  for (const auto& [published, weight] : weights) {
    std::string name = published;
    replace(name, "model.embed_tokens", "harbor.tokens");
    replace(name, "model.norm", "harbor.norm");
    replace(name, "model.layers", "harbor.blocks");
    replace(name, "q_norm", "query_norm");
    replace(name, "k_norm", "key_norm");
    renamed[name] = weight;
  }
  const test::TemporaryFolder original;
  const test::TemporaryFolder folder;
  test::write_tiny_checkpoint(original, config, weights);
  test::write_tiny_checkpoint(folder, config, renamed);
  const std::vector<std::int32_t> ids{3, 14, 15, 9, 26, 5, 35, 8};
  const auto expected = reference::open(checkpoint::Checkpoint::open(original.path().string()))
                            ->prefill(0, ids, nn::LogitsRows::ALL, nullptr);

  const auto checkpoint = checkpoint::Checkpoint::open(folder.path().string());
  const auto device = runtime::MeshDevice::open();
  const nn::DecoderConfig decoder = configure_harbor(checkpoint::ConfigReader(checkpoint.config()));
  const nn::Precision precision = nn::make_precision("full", {.family = decoder.family});
  const nn::WeightLoader loader(*device, checkpoint, precision.weights_as_stored, decoder.stored_dtype);
  nn::DecoderModel model(device, decoder, harbor_names(decoder), loader, {.precision = precision, .context = 64});
  const auto logits = model.prefill(0, ids, nn::LogitsRows::ALL, nullptr);
  EXPECT_LE(metrics::max_abs_error(expected.data, logits.data), 1e-4);
}

} // namespace
} // namespace tessera::models
