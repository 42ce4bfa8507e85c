#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "tessera/base/error.hpp"
#include "tessera/metrics/comparison.hpp"
#include "tessera/reference/reference.hpp"
#include "tessera/reference/weight_store.hpp"
#include "tests/reference/naive_decoder.hpp"

namespace tessera::reference {
namespace {

using nlohmann::json;
using nn::HostTensor;
using nn::LogitsRows;
using nn::Phase;
using testing::HasSubstr;
using testing::ThrowsMessage;
using Ids = std::vector<std::int32_t>;

// fp32 against double: logits of about 5 over sums of 40 terms, two layers deep.
constexpr double kTolerance = 1e-4;

const Ids kText{3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 9, 32, 38, 46, 26, 43, 38, 32, 7, 9};

/// A tiny checkpoint on disk, and the reference over it.
struct Tiny {
  explicit Tiny(const json& changes = json::object(), const ReferenceOptions& options = {})
      : Tiny(test::tiny_config(changes), test::tiny_weights(test::tiny_config(changes)), options) {}
  Tiny(json with_config, test::TinyWeights with_weights, const ReferenceOptions& options = {})
      : config(std::move(with_config)), weights(std::move(with_weights)) {
    test::write_tiny_checkpoint(folder, config, weights);
    model = open(checkpoint(), options);
  }
  checkpoint::Checkpoint checkpoint() const { return checkpoint::Checkpoint::open(folder.path().string()); }
  HostTensor prefill(const Ids& ids, std::int64_t user = 0) const {
    return model->prefill(user, ids, LogitsRows::ALL, nullptr);
  }
  double error(const test::NaiveOptions& options = {}) const {
    return metrics::max_abs_error(test::naive_logits(config, weights, kText, options), prefill(kText).data);
  }

  test::TemporaryFolder folder;
  json config;
  test::TinyWeights weights;
  std::unique_ptr<nn::CausalLM> model;
};

TEST(Reference, EqualsTheFormulasForLlama) {
  EXPECT_LE(Tiny().error(), kTolerance);
}

TEST(Reference, EqualsTheFormulasWithTiedEmbeddings) {
  EXPECT_LE(Tiny(json{{"tie_word_embeddings", true}}).error(), kTolerance);
}

TEST(Reference, EqualsTheFormulasWithEveryBias) {
  EXPECT_LE(Tiny({{"attention_bias", true}, {"mlp_bias", true}}).error(), kTolerance);
}

TEST(Reference, EqualsTheFormulasWithLinearScaling) {
  const Tiny tiny(json{{"rope_scaling", {{"type", "linear"}, {"factor", 4.0}}}});
  EXPECT_LE(tiny.error({.stretch = [](double frequency) { return frequency / 4.0; }}), kTolerance);
  EXPECT_GT(tiny.error(), 100.0 * kTolerance); // the scaling matters here
}

TEST(Reference, EqualsTheFormulasWithASlidingWindow) {
  const Tiny tiny({{"architectures", {"MistralForCausalLM"}}, {"model_type", "mistral"}, {"sliding_window", 5}});
  EXPECT_LE(tiny.error({.windows = {5, 5}}), kTolerance);
  EXPECT_GT(tiny.error({.windows = {6, 6}}), 100.0 * kTolerance);
}

TEST(Reference, WindowsOnlyTheLaterLayersOfQwen2) {
  const Tiny tiny({{"architectures", {"Qwen2ForCausalLM"}},
                   {"model_type", "qwen2"},
                   {"use_sliding_window", true},
                   {"sliding_window", 5},
                   {"max_window_layers", 1}});
  EXPECT_LE(tiny.error({.windows = {0, 5}}), kTolerance);
  EXPECT_GT(tiny.error({.windows = {5, 5}}), 100.0 * kTolerance);
}

/// Falcon's architectures, with their biases and the keys that change the arithmetic.
const std::vector<json> kFalcons{
    json::object(), // 7B
    {{"bias", true}, {"activation", "gelu_new"}},
    {{"new_decoder_architecture", true}, {"num_kv_heads", 2}}, // 40B
    {{"new_decoder_architecture", true}, {"num_kv_heads", 2}, {"num_ln_in_parallel_attn", 1}, {"bias", true}},
    {{"multi_query", false}, {"parallel_attn", false}, {"bias", true}}, // falcon-rw with rotary positions
    {{"multi_query", false}, {"tie_word_embeddings", false}},
};

TEST(Reference, EqualsTheFormulasForEachFalcon) {
  for (const json& changes : kFalcons) {
    const json config = test::tiny_falcon_config(changes);
    EXPECT_LE(Tiny(config, test::tiny_weights(config)).error(), kTolerance) << changes;
  }
}

TEST(Reference, FalconContinuesAPrefillAndRunsEveryModuleThatItNames) {
  for (const json& changes : kFalcons) {
    const json config = test::tiny_falcon_config(changes);
    const Tiny tiny(config, test::tiny_weights(config));
    const HostTensor whole = tiny.prefill(kText);
    tiny.prefill(Ids(kText.begin(), kText.end() - 1));
    const auto last = static_cast<std::int32_t>(kText.size()) - 1;
    const HostTensor logits = tiny.model->decode(std::span(kText).last(1), std::span(&last, 1), nullptr);
    EXPECT_LE(metrics::max_abs_error(whole.row(last), logits.data), 1e-5) << changes;
    const std::vector<std::string> names = tiny.model->module_names();
    const bool has_second_norm = config.value("num_ln_in_parallel_attn", 2) == 2 &&
                                 (config.at("new_decoder_architecture") || !config.at("parallel_attn"));
    EXPECT_EQ(std::count(names.begin(), names.end(), "layers.1.post_attention_norm"), has_second_norm ? 1 : 0)
        << changes;
    for (const std::string& name : names) {
      const HostTensor x{name == "embedding" ? Shape{1, 2} : Shape{1, 2, 32},
                         std::vector<float>(name == "embedding" ? 2 : 64, 1.0F)};
      EXPECT_EQ(tiny.model->run_module(name, x, Phase::PREFILL).shape, (Shape{1, 2, name == "lm_head" ? 50 : 32}))
          << name;
    }
  }
}

TEST(Reference, ABiasThatALayerNormLacksIsZero) {
  const json config = test::tiny_falcon_config();
  test::TinyWeights weights = test::tiny_weights(config);
  for (const char* name : {"transformer.h.0.input_layernorm.bias", "transformer.ln_f.bias"}) weights.erase(name);
  EXPECT_LE(Tiny(config, weights).error(), kTolerance);
  weights.erase("transformer.ln_f.weight");
  EXPECT_THAT([&] { Tiny(config, weights); }, ThrowsMessage<base::IoError>(HasSubstr("transformer.ln_f.weight")));
}

TEST(Reference, DecodeContinuesAPrefill) {
  for (const char* type : {"llama", "mistral"}) {
    const std::string architecture = std::string(type) == "llama" ? "LlamaForCausalLM" : "MistralForCausalLM";
    const Tiny tiny({{"architectures", {architecture}}, {"model_type", type}, {"sliding_window", 5}});
    const HostTensor whole = tiny.prefill(kText);
    tiny.prefill(Ids(kText.begin(), kText.begin() + 7));
    for (std::size_t position = 7; position < kText.size(); ++position) {
      const auto at = static_cast<std::int32_t>(position);
      const HostTensor logits = tiny.model->decode(std::span(kText).subspan(position, 1), std::span(&at, 1), nullptr);
      EXPECT_LE(metrics::max_abs_error(whole.row(at), logits.data), 1e-5) << type << " at " << position;
    }
  }
}

TEST(Reference, KeepsUsersApartAndLeavesIdleOnesAlone) {
  const Tiny tiny;
  const Ids other{40, 2, 11};
  const HostTensor first = tiny.prefill(kText), second = tiny.prefill(other);
  tiny.prefill(Ids(kText.begin(), kText.end() - 1), 0);
  tiny.prefill(Ids(other.begin(), other.end() - 1), 2);
  const std::vector<std::int32_t> positions{static_cast<std::int32_t>(kText.size()) - 1, -1, 2};
  nn::HiddenStates states;
  const HostTensor logits = tiny.model->decode(Ids{kText.back(), 0, other.back()}, positions, &states);
  EXPECT_LE(metrics::max_abs_error(first.row(static_cast<std::int64_t>(kText.size()) - 1), logits.row(0)), 1e-5);
  EXPECT_LE(metrics::max_abs_error(second.row(2), logits.row(2)), 1e-5);
  ASSERT_EQ(states.size(), 3U);
  EXPECT_EQ(states.front().shape, (Shape{3, 24}));
}

TEST(Reference, ForgetsWhatLiesBeyondAPositionThatIsRunAgain) {
  const Tiny tiny;
  const HostTensor whole = tiny.prefill(kText);
  const std::int32_t position = 4;
  const HostTensor again = tiny.model->decode(std::span(kText).subspan(4, 1), std::span(&position, 1), nullptr);
  EXPECT_LE(metrics::max_abs_error(whole.row(4), again.data), 1e-5);
  const std::int32_t gap = 6;
  EXPECT_THAT([&] { tiny.model->decode(Ids{1}, std::span(&gap, 1), nullptr); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("0..5")));
}

TEST(Reference, GivesTheSameBitsWhenWeightsAreStreamed) {
  const Tiny tiny({{"tie_word_embeddings", true}, {"num_hidden_layers", 3}});
  const DecoderDescription description = describe_decoder(tiny.config, "config.json");
  EXPECT_FALSE(WeightStore(tiny.checkpoint(), description, std::size_t{1} << 30).streams());
  const std::vector<float> expected = tiny.prefill(kText).data;
  // Nothing fits; the outer weights (4896 bytes) alone; one layer (20928) beside them and beside the one passing by.
  for (const std::size_t budget : {std::size_t{1}, std::size_t{6000}, std::size_t{60000}}) {
    EXPECT_TRUE(WeightStore(tiny.checkpoint(), description, budget).streams()) << budget;
    const auto streamed = open(tiny.checkpoint(), {.memory_budget_bytes = budget});
    EXPECT_EQ(streamed->prefill(0, kText, LogitsRows::ALL, nullptr).data, expected) << budget;
  }
}

TEST(Reference, LastRowsOnlyGivesTheLastRow) {
  const Tiny tiny;
  const HostTensor all = tiny.prefill(kText);
  const HostTensor last = tiny.model->prefill(0, kText, LogitsRows::LAST, nullptr);
  EXPECT_EQ(last.shape, (Shape{1, 50}));
  EXPECT_LE(metrics::max_abs_error(all.row(static_cast<std::int64_t>(kText.size()) - 1), last.data), 1e-5);
}

TEST(Reference, RunsEveryModuleThatItNames) {
  const Tiny tiny;
  for (const std::string& name : tiny.model->module_names()) {
    const bool ids = name == "embedding", rope = name.ends_with(".rope");
    HostTensor x{ids ? Shape{2, 3} : Shape{2, 3, rope ? 32 : 24}, {}};
    x.data.assign(static_cast<std::size_t>(x.shape.volume()), 1.0F);
    const std::int64_t width = name == "lm_head" ? 50 : rope ? 32 : 24;
    EXPECT_EQ(tiny.model->run_module(name, x, Phase::DECODE).shape, (Shape{2, 3, width})) << name;
  }
}

TEST(Reference, ModulesInSequenceGiveTheModel) {
  const Tiny tiny;
  HostTensor x{Shape{1, static_cast<std::int64_t>(kText.size())}, {kText.begin(), kText.end()}};
  for (const char* name : {"embedding", "layers.0", "layers.1", "final_norm", "lm_head"}) {
    x = tiny.model->run_module(name, x, Phase::PREFILL);
  }
  EXPECT_LE(metrics::max_abs_error(tiny.prefill(kText).data, x.data), 1e-5);
}

TEST(Reference, TurnsHalfSplitPairsByTheirPositions) {
  const Tiny tiny;
  HostTensor x{Shape{1, 3, 32}, std::vector<float>(96, 0.0F)};
  for (std::size_t position = 0; position < 3; ++position) x.data[position * 32 + 8] = 1.0F; // head 1, pair 0
  const HostTensor y = tiny.model->run_module("layers.1.rope", x, Phase::PREFILL);
  for (std::size_t position = 0; position < 3; ++position) {
    EXPECT_NEAR(y.data[position * 32 + 8], std::cos(static_cast<double>(position)), 1e-6);
    EXPECT_NEAR(y.data[position * 32 + 12], std::sin(static_cast<double>(position)), 1e-6);
  }
}

TEST(Reference, RefusesBadCalls) {
  const Tiny tiny(json::object(), ReferenceOptions{.max_users = 2, .context = 8});
  const auto prefill = [&](const Ids& ids, std::int64_t user) {
    return [&tiny, ids, user] { tiny.prefill(ids, user); };
  };
  EXPECT_THAT(prefill({1, 50}, 0), ThrowsMessage<base::InvalidArgument>(HasSubstr("0..49; received 50")));
  EXPECT_THAT(prefill({-1}, 0), ThrowsMessage<base::InvalidArgument>(HasSubstr("received -1")));
  EXPECT_THAT(prefill({}, 0), ThrowsMessage<base::InvalidArgument>(HasSubstr("received none")));
  EXPECT_THAT(prefill({1}, 2), ThrowsMessage<base::InvalidArgument>(HasSubstr("0..1; received 2")));
  EXPECT_THAT(prefill(Ids(9, 1), 0), ThrowsMessage<base::InvalidArgument>(HasSubstr("context of 8")));
  const HostTensor x{Shape{1, 1, 24}, std::vector<float>(24)};
  for (const char* name : {"layers.2", "layers.-1.mlp", "layers.", "layers.0x", "layers.0.gate", "head", ""}) {
    EXPECT_THROW(tiny.model->run_module(name, x, Phase::PREFILL), base::InvalidArgument) << name;
  }
  const HostTensor narrow{Shape{1, 1, 23}, std::vector<float>(23)};
  EXPECT_THAT([&] { tiny.model->run_module("layers.0.mlp", narrow, Phase::PREFILL); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("[B, S, 24]")));
}

TEST(Reference, RefusesMissingAndMisshapenWeights) {
  const json config = test::tiny_config();
  const auto open_with = [&](const test::TinyWeights& weights) {
    const test::TemporaryFolder folder;
    test::write_tiny_checkpoint(folder, config, weights);
    open(checkpoint::Checkpoint::open(folder.path().string()));
  };
  test::TinyWeights missing = test::tiny_weights(config);
  missing.erase("model.layers.1.mlp.up_proj.weight");
  EXPECT_THAT([&] { open_with(missing); },
              ThrowsMessage<base::IoError>(HasSubstr("model.layers.1.mlp.up_proj.weight")));
  test::TinyWeights misshapen = test::tiny_weights(config);
  misshapen["model.norm.weight"] = {{23}, std::vector<float>(23)};
  EXPECT_THAT([&] { open_with(misshapen); }, ThrowsMessage<base::IoError>(HasSubstr("must have shape [24]")));
}

} // namespace
} // namespace tessera::reference
