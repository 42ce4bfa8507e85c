// The reference against outputs of Hugging Face's implementations, for every golden of a family that it knows.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "tessera/base/error.hpp"
#include "tessera/metrics/comparison.hpp"
#include "tessera/reference/decoder_description.hpp"
#include "tessera/reference/reference.hpp"
#include "tests/base/temporary_folder.hpp"
#include "tests/models/golden_models.hpp"

namespace tessera {
namespace {

namespace fs = std::filesystem;
using nn::HostTensor;
using nn::LogitsRows;
using nn::Phase;

// Float32 against float64 differs by up to 2e-5 in these models (golden/README.md); the order of summation by as much.
constexpr double kTolerance = 1e-4;

/// The golden file's names of a family's modules, as in the checkpoint.
struct ModuleNames {
  const char* layers;
  const char* input_norm;
  const char* attention;
  const char* mlp_norm;
  bool parallel; // the MLP's norm reads the layer's input
};
constexpr ModuleNames kModuleNames[] = {
    {"model.layers.", "input_layernorm", "self_attn", "post_attention_layernorm", false},
    {"transformer.h.", "ln_attn", "self_attention", "ln_mlp", true},
};

bool knows_family(const fs::path& folder) {
  const auto checkpoint = checkpoint::Checkpoint::open_config(folder.string());
  try {
    reference::describe_decoder(checkpoint.config(), folder.string());
    return true;
  } catch (const base::Unsupported&) {
    return false;
  }
}

class ReferenceGolden : public testing::TestWithParam<fs::path> {
 protected:
  void SetUp() override {
    if (!knows_family(GetParam())) GTEST_SKIP() << "its family is not built: " << GetParam().filename();
    golden_.emplace(checkpoint::SafeTensors::open(GetParam() / "golden.safetensors"));
    model_ = reference::open(checkpoint::Checkpoint::open(GetParam().string()));
  }

  bool has(const std::string& name) const { return golden_->contains(name); }
  HostTensor tensor(const std::string& name) const {
    const checkpoint::TensorView& view = golden_->at(name);
    return {Shape(view.shape), checkpoint::to_float(view)};
  }
  /// Rows of an integer tensor [B, S]; [S] is one row.
  std::vector<std::vector<std::int32_t>> ids(const std::string& name) const {
    const checkpoint::TensorView& view = golden_->at(name);
    const std::vector<std::int64_t> all = checkpoint::to_int64(view);
    std::vector<std::vector<std::int32_t>> rows;
    for (auto row = all.begin(); row != all.end(); row += view.shape.back()) {
      rows.emplace_back(row, row + view.shape.back());
    }
    return rows;
  }

  void expect_module(const std::string& module, const HostTensor& input, const std::vector<float>& expected) {
    EXPECT_LE(metrics::max_abs_error(expected, model_->run_module(module, input, Phase::PREFILL).data), kTolerance)
        << module;
  }
  /// Greedy continuation of `prompt` by `expected.size()` tokens through the cache.
  void expect_continuation(const std::vector<std::int32_t>& prompt, const std::vector<std::int32_t>& expected,
                           std::span<const float> expected_logits);

  std::optional<checkpoint::SafeTensors> golden_;
  std::unique_ptr<nn::CausalLM> model_;
};

std::vector<float> sum(const HostTensor& a, const HostTensor& b) {
  std::vector<float> values(a.data.size());
  std::transform(a.data.begin(), a.data.end(), b.data.begin(), values.begin(), std::plus<>());
  return values;
}

TEST_P(ReferenceGolden, PrefillGivesTheLogitsAndTheHiddenStates) {
  std::vector<float> logits;
  std::vector<std::vector<float>> states(static_cast<std::size_t>(model_->info().layers + 1));
  for (const auto& sequence : ids("input_ids")) {
    nn::HiddenStates hidden;
    const HostTensor result = model_->prefill(0, sequence, LogitsRows::ALL, &hidden);
    logits.insert(logits.end(), result.data.begin(), result.data.end());
    ASSERT_EQ(hidden.size(), states.size());
    for (std::size_t i = 0; i < hidden.size(); ++i) {
      states[i].insert(states[i].end(), hidden[i].data.begin(), hidden[i].data.end());
    }
  }
  EXPECT_LE(metrics::max_abs_error(tensor("logits").data, logits), kTolerance);
  for (std::size_t i = 0; i < states.size(); ++i) {
    EXPECT_LE(metrics::max_abs_error(tensor(fmt::format("hidden_states.{}", i)).data, states[i]), kTolerance) << i;
  }
}

TEST_P(ReferenceGolden, DecodeGivesTheLogitsOfEachUser) {
  const auto sequences = ids("input_ids");
  const std::vector<float> expected = tensor("logits").data;
  const auto vocabulary = static_cast<std::size_t>(model_->info().vocab_size);
  const std::size_t length = sequences.front().size();
  for (std::size_t position = 0; position < length; ++position) {
    std::vector<std::int32_t> tokens;
    for (const auto& sequence : sequences) tokens.push_back(sequence[position]);
    const std::vector<std::int32_t> positions(tokens.size(), static_cast<std::int32_t>(position));
    const HostTensor logits = model_->decode(tokens, positions, nullptr);
    for (std::size_t user = 0; user < sequences.size(); ++user) {
      const auto row = std::span(expected).subspan((user * length + position) * vocabulary, vocabulary);
      ASSERT_LE(metrics::max_abs_error(row, logits.row(static_cast<std::int64_t>(user))), kTolerance)
          << "user " << user << ", position " << position;
    }
  }
}

class ReferenceGoldenLongPrompt : public ReferenceGolden {};

TEST_P(ReferenceGoldenLongPrompt, PrefillGivesTheLogits) {
  const std::vector<float> expected = tensor("long_logits").data;
  const HostTensor logits = model_->prefill(0, ids("long_input_ids").front(), LogitsRows::ALL, nullptr);
  EXPECT_LE(metrics::max_abs_error(expected, std::span(logits.data).last(expected.size())), kTolerance);
}

void ReferenceGolden::expect_continuation(const std::vector<std::int32_t>& prompt,
                                          const std::vector<std::int32_t>& expected,
                                          std::span<const float> expected_logits) {
  std::vector<std::int32_t> generated;
  std::vector<float> logits;
  HostTensor last = model_->prefill(0, prompt, LogitsRows::LAST, nullptr);
  for (std::size_t step = 0; step < expected.size(); ++step) {
    logits.insert(logits.end(), last.data.begin(), last.data.end());
    const auto best = std::max_element(last.data.begin(), last.data.end());
    generated.push_back(static_cast<std::int32_t>(best - last.data.begin()));
    const auto position = static_cast<std::int32_t>(prompt.size() + step);
    last = model_->decode(std::span(&generated.back(), 1), std::span(&position, 1), nullptr);
  }
  EXPECT_THAT(generated, testing::ElementsAreArray(expected));
  EXPECT_LE(metrics::max_abs_error(expected_logits, std::span(logits).first(expected_logits.size())), kTolerance);
}

TEST_P(ReferenceGolden, GreedyGenerationGivesTheIdsAndTheirLogits) {
  if (has("gen_ids")) {
    const auto prompts = ids("gen_prompt_ids"), expected = ids("gen_ids");
    const std::vector<float> logits = tensor("gen_logits").data;
    const std::size_t size = logits.size() / prompts.size();
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      expect_continuation(prompts[i], expected[i], std::span(logits).subspan(i * size, size));
    }
  }
  for (int story = 0; has(fmt::format("prompt{}.gen_ids", story)); ++story) {
    const std::string name = fmt::format("prompt{}", story);
    const std::vector<float> logits =
        has(name + ".gen_logits") ? tensor(name + ".gen_logits").data : std::vector<float>();
    expect_continuation(ids(name + ".prompt_ids").front(), ids(name + ".gen_ids").front(), logits);
  }
}

TEST_P(ReferenceGolden, EachModuleByItselfGivesItsOutput) {
  const std::int64_t layers = model_->info().layers;
  int modules_compared = 0;
  expect_module("embedding", tensor("input_ids"), tensor("hidden_states.0").data);
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    const std::string module = fmt::format("layers.{}", layer);
    const HostTensor input = tensor(fmt::format("hidden_states.{}", layer));
    expect_module(module, input, tensor(fmt::format("hidden_states.{}", layer + 1)).data);
    for (const ModuleNames& names : kModuleNames) {
      const std::string name = fmt::format("{}{}.", names.layers, layer);
      if (!has(name + names.attention)) continue;
      const HostTensor normed = tensor(name + names.input_norm), attended = tensor(name + names.attention);
      const HostTensor mlp_input = tensor(name + names.mlp_norm);
      expect_module(module + ".input_norm", input, normed.data);
      expect_module(module + ".attention", normed, attended.data);
      expect_module(module + ".post_attention_norm",
                    names.parallel ? input : HostTensor{input.shape, sum(input, attended)}, mlp_input.data);
      expect_module(module + ".mlp", mlp_input, tensor(name + "mlp").data);
      ++modules_compared;
    }
  }
  const HostTensor last = tensor(fmt::format("hidden_states.{}", layers));
  if (has("final_norm")) {
    expect_module("final_norm", last, tensor("final_norm").data);
    expect_module("lm_head", tensor("final_norm"), tensor("logits").data);
    EXPECT_EQ(modules_compared, 2); // of the first layer and the last
  }
}

TEST(ReferenceGoldenConfig, BothSpellingsGiveTheSameBits) {
  int compared = 0;
  for (const fs::path& folder : test::golden_language_models("logits")) {
    if (!exists(folder / "config_v5.json")) continue;
    const test::TemporaryFolder copy;
    fs::create_symlink(absolute(folder / "model.safetensors"), copy.path() / "model.safetensors");
    fs::copy_file(folder / "config_v5.json", copy.path() / "config.json");
    const std::vector<std::int32_t> prompt{5, 6, 7, 8, 9, 10, 11, 12};
    const auto older = reference::open(checkpoint::Checkpoint::open(folder.string()));
    const auto newer = reference::open(checkpoint::Checkpoint::open(copy.path().string()));
    EXPECT_EQ(newer->prefill(0, prompt, LogitsRows::ALL, nullptr).data,
              older->prefill(0, prompt, LogitsRows::ALL, nullptr).data)
        << folder;
    ++compared;
  }
  EXPECT_GT(compared, 0);
}

std::string name_of(const testing::TestParamInfo<fs::path>& parameter) {
  return test::golden_name(parameter.param);
}

INSTANTIATE_TEST_SUITE_P(Golden, ReferenceGolden, testing::ValuesIn(test::golden_language_models("logits")), name_of);
INSTANTIATE_TEST_SUITE_P(Golden, ReferenceGoldenLongPrompt,
                         testing::ValuesIn(test::golden_language_models("long_logits")), name_of);

} // namespace
} // namespace tessera
