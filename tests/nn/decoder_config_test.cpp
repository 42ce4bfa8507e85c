#include "tessera/nn/decoder_config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/nn/small_decoder.hpp"

namespace tessera::nn {
namespace {

// Numbers of parameters as the models' publishers count them.
TEST(DecoderConfigParameters, AreThoseOfPublishedModels) {
  DecoderConfig config{.vocab_size = 128256,
                       .hidden_size = 2048,
                       .intermediate_size = 8192,
                       .layers = 16,
                       .heads = 32,
                       .kv_heads = 8,
                       .head_dim = 64,
                       .tied_embeddings = true};
  EXPECT_EQ(config.parameters(), 1'235'814'400) << "Llama-3.2-1B";
  config = {.vocab_size = 128256,
            .hidden_size = 4096,
            .intermediate_size = 14336,
            .layers = 32,
            .heads = 32,
            .kv_heads = 8,
            .head_dim = 128};
  EXPECT_EQ(config.parameters(), 8'030'261'248) << "Llama-3.1-8B";
  config = {.vocab_size = 151936,
            .hidden_size = 896,
            .intermediate_size = 4864,
            .layers = 24,
            .heads = 14,
            .kv_heads = 2,
            .head_dim = 64,
            .tied_embeddings = true,
            .qkv_bias = true};
  EXPECT_EQ(config.parameters(), 494'032'768) << "Qwen2.5-0.5B";
  config = {.vocab_size = 65024,
            .hidden_size = 4544,
            .intermediate_size = 18176,
            .layers = 32,
            .heads = 71,
            .kv_heads = 1,
            .head_dim = 64,
            .norm = NormKind::LAYER,
            .parallel_residual = true,
            .mlp_norm = false,
            .gated_mlp = false,
            .tied_embeddings = true,
            .qkv = QkvLayout::GROUPED};
  EXPECT_EQ(config.parameters(), 6'921'720'704) << "Falcon-7B";
}

TEST(ExpectedTensors, HoldEveryParameterOnce) {
  for (const DecoderConfig& config :
       {small_config(), small_config_with_biases(), parallel_config(true), parallel_config(false)}) {
    std::int64_t total = 0;
    for (const TensorExpectation& tensor : expected_tensors(config, DecoderNames())) {
      if (!tensor.optional || tensor.name.ends_with("norm.bias")) total += Shape(tensor.shape).volume();
    }
    EXPECT_EQ(total, config.parameters());
  }
}

TEST(ExpectedTensors, HaveHuggingFacesNamesAndShapes) {
  std::map<std::string, TensorExpectation> tensors;
  for (const TensorExpectation& tensor : expected_tensors(small_config_with_biases(), DecoderNames()))
    EXPECT_TRUE(tensors.emplace(tensor.name, tensor).second) << tensor.name << " twice";
  using Extents = std::vector<std::int64_t>;
  EXPECT_EQ(tensors.at("model.embed_tokens.weight").shape, (Extents{50, 48}));
  EXPECT_EQ(tensors.at("model.layers.1.self_attn.k_proj.weight").shape, (Extents{16, 48}));
  EXPECT_EQ(tensors.at("model.layers.1.self_attn.k_proj.bias").shape, (Extents{16}));
  EXPECT_EQ(tensors.at("model.layers.0.mlp.down_proj.weight").shape, (Extents{48, 72}));
  EXPECT_EQ(tensors.at("model.layers.0.post_attention_layernorm.weight").shape, (Extents{48}));
  EXPECT_EQ(tensors.at("model.norm.weight").shape, (Extents{48}));
  EXPECT_TRUE(tensors.at("lm_head.weight").optional); // tied
  EXPECT_FALSE(tensors.contains("model.layers.2.mlp.up_proj.weight"));
  for (const TensorExpectation& tensor : expected_tensors(small_config(), DecoderNames())) {
    EXPECT_EQ(tensor.optional, tensor.name.ends_with("inv_freq")) << tensor.name;
  }
}

TEST(ExpectedTensors, FollowTheKindOfLayer) {
  std::map<std::string, TensorExpectation> tensors;
  for (const TensorExpectation& tensor : expected_tensors(parallel_config(false), DecoderNames()))
    tensors.emplace(tensor.name, tensor);
  using Extents = std::vector<std::int64_t>;
  EXPECT_EQ(tensors.at("model.layers.1.self_attn.qkv_proj.weight").shape, (Extents{(8 + 2 * 4) * 6, 52}));
  EXPECT_EQ(tensors.at("model.layers.1.self_attn.qkv_proj.bias").shape, (Extents{(8 + 2 * 4) * 6}));
  EXPECT_TRUE(tensors.at("model.layers.1.input_layernorm.bias").optional);
  for (const char* absent : {"self_attn.q_proj.weight", "mlp.gate_proj.weight", "post_attention_layernorm.weight"})
    EXPECT_FALSE(tensors.contains(std::string("model.layers.1.") + absent)) << absent;
}

TEST(DecoderNames, PutTheLayersNumberIn) {
  EXPECT_EQ(DecoderNames().of_layer(3, "self_attn.q_proj"), "model.layers.3.self_attn.q_proj");
  EXPECT_EQ(DecoderNames{.layer = "transformer.h.{}."}.of_layer(12, "ln_1"), "transformer.h.12.ln_1");
}

} // namespace
} // namespace tessera::nn
