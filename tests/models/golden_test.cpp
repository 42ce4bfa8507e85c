// The device's models against outputs of Hugging Face's implementations, family by family.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tessera/metrics/comparison.hpp"
#include "tessera/metrics/logits.hpp"
#include "tessera/models/load.hpp"
#include "tessera/models/parallelism.hpp"
#include "tests/base/temporary_folder.hpp"
#include "tests/models/golden_models.hpp"

namespace tessera {
namespace {

using nn::LogitsRows;

// fp32 arithmetic in another order of summation: the goldens differ from float64 by up to 2e-5.
constexpr double kFullTolerance = 1e-3;

std::unique_ptr<nn::DecoderModel> open_model(const std::filesystem::path& folder, const std::string& precision,
                                             std::int64_t users = 2,
                                             runtime::Numerics numerics = runtime::Numerics::NATIVE) {
  auto device = runtime::MeshDevice::open({.board = board("n150"), .numerics = numerics});
  return models::load(device, checkpoint::Checkpoint::open(folder.string()),
                      {.precision = precision, .max_users = users});
}

struct Sequences {
  std::int64_t count;
  std::int64_t length;
  std::vector<std::int32_t> ids;

  std::span<const std::int32_t> of(std::int64_t sequence) const {
    return std::span(ids).subspan(static_cast<std::size_t>(sequence * length), static_cast<std::size_t>(length));
  }
};

Sequences sequences(const checkpoint::TensorView& view) {
  const std::vector<std::int64_t> wide = checkpoint::to_int64(view);
  return {view.shape.at(0), view.shape.at(1), {wide.begin(), wide.end()}};
}

/// Logits [B, S, V] of whole sequences, a prompt at a time.
std::vector<float> prefill_logits(nn::CausalLM& model, const Sequences& input) {
  std::vector<float> logits;
  for (std::int64_t sequence = 0; sequence < input.count; ++sequence) {
    const auto result = model.prefill(sequence % model.info().max_users, input.of(sequence), LogitsRows::ALL, nullptr);
    logits.insert(logits.end(), result.data.begin(), result.data.end());
  }
  return logits;
}

/// The same, all sequences side by side, a position a step.
std::vector<float> decode_logits(nn::CausalLM& model, const Sequences& input) {
  const std::int64_t vocabulary = model.info().vocab_size;
  std::vector<float> logits(static_cast<std::size_t>(input.count * input.length * vocabulary));
  for (std::int64_t sequence = 0; sequence < input.count; ++sequence) model.begin_sequence(sequence, input.length);
  for (std::int64_t position = 0; position < input.length; ++position) {
    std::vector<std::int32_t> ids;
    for (std::int64_t sequence = 0; sequence < input.count; ++sequence)
      ids.push_back(input.of(sequence)[static_cast<std::size_t>(position)]);
    const std::vector<std::int32_t> positions(ids.size(), static_cast<std::int32_t>(position));
    const auto result = model.decode(ids, positions, nullptr);
    for (std::int64_t sequence = 0; sequence < input.count; ++sequence) {
      const auto row = result.row(sequence);
      std::copy(row.begin(), row.end(), logits.begin() + (sequence * input.length + position) * vocabulary);
    }
  }
  return logits;
}

class GoldenModel : public testing::TestWithParam<std::filesystem::path> {
 protected:
  void SetUp() override {
    if (!family_is_built(GetParam())) GTEST_SKIP() << "its family is not built: " << GetParam().filename();
    golden_.emplace(checkpoint::SafeTensors::open(GetParam() / "golden.safetensors"));
  }
  static bool family_is_built(const std::filesystem::path& folder) { return test::family_is_built(folder); }
  Sequences ids(const std::string& name) const { return sequences(golden_->at(name)); }
  std::vector<float> values(const std::string& name) const { return checkpoint::to_float(golden_->at(name)); }

  std::optional<checkpoint::SafeTensors> golden_;
};

TEST_P(GoldenModel, FullPrecisionPrefillEqualsTheGoldenLogits) {
  const auto model = open_model(GetParam(), "full");
  EXPECT_LE(metrics::max_abs_error(values("logits"), prefill_logits(*model, ids("input_ids"))), kFullTolerance);
}

TEST_P(GoldenModel, FullPrecisionDecodeEqualsTheGoldenLogits) {
  const auto model = open_model(GetParam(), "full");
  EXPECT_LE(metrics::max_abs_error(values("logits"), decode_logits(*model, ids("input_ids"))), kFullTolerance);
}

// What the card's own arithmetic makes of them: TT-NN's presets, in prefill and decode.
TEST_P(GoldenModel, ExactNumericsStayNearTheGoldenLogits) {
  for (const char* precision : {"accuracy", "bf16"}) {
    const auto model = open_model(GetParam(), precision, 2, runtime::Numerics::EXACT);
    EXPECT_GE(metrics::pcc(values("logits"), prefill_logits(*model, ids("input_ids"))), 0.99) << precision;
    EXPECT_GE(metrics::pcc(values("logits"), decode_logits(*model, ids("input_ids"))), 0.99) << precision;
  }
}

/// Lines and grids of a t3000 whose chips can share the model's heads, one chip left out.
std::vector<models::Parallelism> meshes_for(const checkpoint::Checkpoint& checkpoint) {
  const BoardSpec& t3000 = board("t3000");
  const nn::DecoderConfig config = models::configure(checkpoint);
  std::vector<models::Parallelism> meshes = models::tensor_parallelisms(t3000, config);
  meshes.erase(meshes.begin());
  for (const char* grid : {"1x2", "2x1", "2x2", "1x4", "2x4"}) {
    meshes.push_back(models::parse_tensor_parallelism(t3000, grid));
    if (!nn::heads_divide(config, meshes.back().rows)) meshes.pop_back();
  }
  return meshes;
}

TEST_P(GoldenModel, FullPrecisionOnEveryMeshEqualsTheGoldenLogits) {
  const auto checkpoint = checkpoint::Checkpoint::open(GetParam().string());
  const auto meshes = meshes_for(checkpoint);
  ASSERT_FALSE(meshes.empty());
  for (const models::Parallelism& parallelism : meshes) {
    const auto mesh = runtime::MeshDevice::open({.board = board("t3000")});
    const auto model = models::load_copies(mesh, checkpoint, {.precision = "full", .max_users = 2}, parallelism);
    EXPECT_LE(metrics::max_abs_error(values("logits"), prefill_logits(*model, ids("input_ids"))), kFullTolerance)
        << to_string(parallelism) << " in prefill";
    EXPECT_LE(metrics::max_abs_error(values("logits"), decode_logits(*model, ids("input_ids"))), kFullTolerance)
        << to_string(parallelism) << " in decode";
  }
}

TEST_P(GoldenModel, CopiesGiveTheBitsOfOneChip) {
  const auto checkpoint = checkpoint::Checkpoint::open(GetParam().string());
  const auto one = open_model(GetParam(), "accuracy");
  const std::vector<float> expected = decode_logits(*one, ids("input_ids"));
  for (const std::int64_t dp : {2, 4, 8}) {
    const auto mesh = runtime::MeshDevice::open({.board = board("t3000")});
    const auto model = models::load_copies(mesh, checkpoint, {.max_users = dp}, {.dp = dp});
    EXPECT_EQ(decode_logits(*model, ids("input_ids")), expected) << dp << " copies";
  }
}

class GoldenLongPrompt : public GoldenModel {};

TEST_P(GoldenLongPrompt, FullPrecisionEqualsTheGoldenLogits) {
  const auto model = open_model(GetParam(), "full");
  const std::vector<float> expected = values("long_logits");
  for (auto* run : {prefill_logits, decode_logits}) {
    const std::vector<float> logits = run(*model, ids("long_input_ids"));
    EXPECT_LE(metrics::max_abs_error(expected, std::span(logits).last(expected.size())), kFullTolerance);
  }
}

/// Greedy generation of one user in slot `user`: the ids, and the logits that each was taken from.
struct Generation {
  std::vector<std::int32_t> ids;
  std::vector<float> logits;
};

Generation generate(nn::CausalLM& model, std::int64_t user, std::span<const std::int32_t> prompt, std::size_t count) {
  Generation generation;
  auto logits = model.prefill(user, prompt, LogitsRows::LAST, nullptr);
  for (std::size_t step = 0; step < count; ++step) {
    const auto row = logits.row(logits.shape[0] - 1);
    generation.logits.insert(generation.logits.end(), row.begin(), row.end());
    generation.ids.push_back(static_cast<std::int32_t>(std::max_element(row.begin(), row.end()) - row.begin()));
    if (step + 1 == count) break;
    const std::vector<std::int32_t> ids(static_cast<std::size_t>(user + 1), generation.ids.back());
    std::vector<std::int32_t> positions(ids.size(), -1);
    positions.back() = static_cast<std::int32_t>(prompt.size() + step);
    logits = model.decode(ids, positions, nullptr);
  }
  return generation;
}

class GoldenGeneration : public GoldenModel {};

TEST_P(GoldenGeneration, FullPrecisionGeneratesTheGoldenIds) {
  const auto model = open_model(GetParam(), "full");
  const Sequences prompts = ids("gen_prompt_ids");
  const Sequences expected = ids("gen_ids");
  const std::vector<float> expected_logits = values("gen_logits");
  for (std::int64_t user = 0; user < prompts.count; ++user) {
    const Generation generated = generate(*model, user, prompts.of(user), static_cast<std::size_t>(expected.length));
    EXPECT_THAT(generated.ids, testing::ElementsAreArray(expected.of(user)));
    const std::size_t size = generated.logits.size();
    EXPECT_LE(metrics::max_abs_error(std::span(expected_logits).subspan(static_cast<std::size_t>(user) * size, size),
                                     generated.logits),
              kFullTolerance);
  }
}

class GoldenStories : public GoldenModel {};

TEST_P(GoldenStories, FullPrecisionTellsEachStoryTokenForToken) {
  const auto model = open_model(GetParam(), "full");
  for (int story = 0; golden_->contains(fmt::format("prompt{}.gen_ids", story)); ++story) {
    const std::vector<std::int64_t> prompt_ids =
        checkpoint::to_int64(golden_->at(fmt::format("prompt{}.prompt_ids", story)));
    const std::vector<std::int64_t> expected =
        checkpoint::to_int64(golden_->at(fmt::format("prompt{}.gen_ids", story)));
    const std::vector<std::int32_t> prompt(prompt_ids.begin(), prompt_ids.end());
    const Generation generated = generate(*model, 1, prompt, expected.size());
    EXPECT_THAT(generated.ids, testing::ElementsAreArray(expected)) << "story " << story;
    const std::string logits_name = fmt::format("prompt{}.gen_logits", story);
    if (!golden_->contains(logits_name)) continue;
    const std::vector<float> expected_logits = values(logits_name);
    EXPECT_LE(metrics::max_abs_error(expected_logits, std::span(generated.logits).first(expected_logits.size())),
              kFullTolerance)
        << "story " << story;
  }
}

TEST(GoldenConfig, BothSpellingsOfTheConfigurationGiveTheSameModel) {
  const auto folders = test::golden_language_models("logits");
  int compared = 0;
  for (const std::filesystem::path& folder : folders) {
    if (!exists(folder / "config_v5.json")) continue;
    const test::TemporaryFolder copy;
    std::filesystem::create_symlink(absolute(folder / "model.safetensors"), copy.path() / "model.safetensors");
    std::filesystem::copy_file(folder / "config_v5.json", copy.path() / "config.json");
    const Sequences input = sequences(checkpoint::SafeTensors::open(folder / "golden.safetensors").at("input_ids"));
    EXPECT_EQ(prefill_logits(*open_model(copy.path(), "full"), input),
              prefill_logits(*open_model(folder, "full"), input))
        << folder;
    ++compared;
  }
  EXPECT_GT(compared, 0);
}

TEST_P(GoldenModel, LowerPrecisionsKeepTheLogitsCorrelated) {
  struct Bar {
    const char* precision;
    double pcc;
  };
  for (const Bar& bar : {Bar{"bf16", 0.998}, Bar{"bfp8", 0.998}, Bar{"accuracy", 0.998}, Bar{"performance", 0.96}}) {
    const auto model = open_model(GetParam(), bar.precision);
    EXPECT_GE(metrics::pcc(values("logits"), prefill_logits(*model, ids("input_ids"))), bar.pcc)
        << bar.precision << " in prefill";
    EXPECT_GE(metrics::pcc(values("logits"), decode_logits(*model, ids("input_ids"))), bar.pcc)
        << bar.precision << " in decode";
  }
}

std::string name_of(const testing::TestParamInfo<std::filesystem::path>& info) {
  return test::golden_name(info.param);
}

INSTANTIATE_TEST_SUITE_P(Golden, GoldenModel, testing::ValuesIn(test::golden_language_models("logits")), name_of);
INSTANTIATE_TEST_SUITE_P(Golden, GoldenLongPrompt, testing::ValuesIn(test::golden_language_models("long_logits")),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Golden, GoldenGeneration, testing::ValuesIn(test::golden_language_models("gen_ids")), name_of);
INSTANTIATE_TEST_SUITE_P(Golden, GoldenStories, testing::ValuesIn(test::golden_language_models("prompt0.gen_ids")),
                         name_of);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenStories);

} // namespace
} // namespace tessera
