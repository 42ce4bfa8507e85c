// A decoder on several chips against the same on one, and against the definition: whole models and single modules.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tests/nn/naive_decoder.hpp"

namespace tessera::nn {
namespace {

using test::random_values;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// fp32 sums in another order.
constexpr double kFullTolerance = 1e-4;

struct Mesh {
  std::int64_t rows;
  std::int64_t columns;
  TensorParallelScheme scheme;
};
std::string name_of(const Mesh& mesh) {
  return fmt::format("{}{}x{}", mesh.scheme == TensorParallelScheme::LINE ? "Line" : "Grid", mesh.rows, mesh.columns);
}
void PrintTo(const Mesh& mesh, std::ostream* out) {
  *out << name_of(mesh);
}

std::unique_ptr<DecoderModel> load(const SmallDecoder& small, const Mesh& mesh, std::int64_t users,
                                   const std::string& precision = "full") {
  return small.load(precision, users, {.board = mesh_board(mesh.rows, mesh.columns)}, 96, mesh.scheme);
}

class OnMesh : public testing::TestWithParam<Mesh> {};

constexpr auto kLine = TensorParallelScheme::LINE;
constexpr auto kGrid = TensorParallelScheme::GRID;
INSTANTIATE_TEST_SUITE_P(Meshes, OnMesh,
                         testing::Values(Mesh{1, 2, kLine}, Mesh{2, 2, kLine}, Mesh{2, 4, kLine}, Mesh{2, 1, kGrid},
                                         Mesh{1, 2, kGrid}, Mesh{2, 2, kGrid}, Mesh{2, 4, kGrid}, Mesh{8, 4, kGrid}),
                         [](const auto& test) { return name_of(test.param); });

TEST_P(OnMesh, PrefillAndDecodeGiveTheLogitsOfTheDefinition) {
  const SmallDecoder small(odd_config());
  const auto model = load(small, GetParam(), 3);
  const auto ids = random_ids(40, 3);
  HiddenStates expected_states;
  const HostTensor expected = NaiveDecoder(small).logits(ids, &expected_states);
  HiddenStates states;
  EXPECT_LE(largest_difference(model->prefill(1, ids, LogitsRows::ALL, &states), expected), kFullTolerance);
  ASSERT_EQ(states.size(), expected_states.size());
  for (std::size_t i = 0; i < states.size(); ++i)
    EXPECT_LE(largest_difference(states[i], expected_states[i]), kFullTolerance) << i;
  for (std::int32_t position = 0; position < 40; ++position) {
    const std::vector<std::int32_t> fed(3, ids[static_cast<std::size_t>(position)]);
    const HostTensor logits = model->decode(fed, std::vector<std::int32_t>(3, position), nullptr);
    for (std::int64_t user = 0; user < 3; ++user)
      EXPECT_LE(largest_difference(row_of(logits, user), row_of(expected, position)), kFullTolerance) << position;
  }
}

/// One configuration of each kind that shares the code of decoders.
std::vector<DecoderConfig> other_kinds() {
  return {parallel_config(true), parallel_config(false), capped_config(), long_config(),
          learned_config(),      alibi_config(),         experts_config()};
}

TEST_P(OnMesh, OtherKindsOfDecodersGiveTheLogitsOfTheDefinition) {
  for (const DecoderConfig& config : other_kinds()) {
    const SmallDecoder small(config);
    const auto model = load(small, GetParam(), 1);
    const auto ids = random_ids(40, 3);
    const HostTensor expected = NaiveDecoder(small).logits(ids);
    EXPECT_LE(largest_difference(model->prefill(0, ids, LogitsRows::ALL, nullptr), expected), kFullTolerance);
    model->begin_sequence(0, 40);
    for (std::int32_t position = 0; position < 40; ++position) {
      const HostTensor logits = model->decode(std::span(ids).subspan(static_cast<std::size_t>(position), 1),
                                              std::span(&position, 1), nullptr);
      EXPECT_LE(largest_difference(logits, row_of(expected, position)), kFullTolerance) << position;
    }
  }
}

TEST_P(OnMesh, EveryModuleByItselfEqualsThatOfOneChip) {
  std::vector<DecoderConfig> configs = other_kinds();
  configs.push_back(odd_config());
  for (const DecoderConfig& config : configs) {
    const SmallDecoder small(config);
    const auto one = small.load("full", 3);
    const auto model = load(small, GetParam(), 3);
    EXPECT_EQ(model->module_names(), one->module_names());
    for (const std::string& name : model->module_names()) {
      for (const Phase phase : {Phase::DECODE, Phase::PREFILL}) {
        const std::int64_t width = name.ends_with(".rope") ? 48 : 52;
        HostTensor x = random_values({4, 9, width}, 5);
        if (name == "embedding") {
          const auto ids = random_ids(36, 4);
          x = {{4, 9}, {ids.begin(), ids.end()}};
        }
        EXPECT_LE(largest_difference(model->run_module(name, x, phase), one->run_module(name, x, phase)),
                  kFullTolerance)
            << name << (phase == Phase::DECODE ? " in decode" : " in prefill");
      }
    }
  }
}

TEST_P(OnMesh, FormatsOfFewBitsGiveAlmostTheLogitsOfOneChip) {
  const SmallDecoder small(odd_config());
  const auto ids = random_ids(40, 3);
  for (const char* precision : {"bf16", "bfp8", "performance"}) {
    const HostTensor one = small.load(precision)->prefill(0, ids, LogitsRows::ALL, nullptr);
    const HostTensor several = load(small, GetParam(), 1, precision)->prefill(0, ids, LogitsRows::ALL, nullptr);
    double error = 0;
    double size = 0;
    for (std::size_t i = 0; i < one.data.size(); ++i) {
      error += std::pow(one.data[i] - several.data[i], 2);
      size += std::pow(one.data[i], 2);
    }
    EXPECT_LE(std::sqrt(error / size), 0.03) << precision;
  }
}

TEST_P(OnMesh, ReplayedStepsGiveTheTokensOfEagerOnes) {
  const SmallDecoder small(odd_config());
  const auto model = load(small, GetParam(), 2, "bf16");
  const auto tokens = [&](bool trace) {
    const Execution before = model->set_execution({.trace = trace});
    model->prefill(0, random_ids(7, 1), LogitsRows::LAST, nullptr);
    model->prefill(1, random_ids(12, 2), LogitsRows::LAST, nullptr);
    std::vector<std::vector<std::int32_t>> result;
    {
      const auto loop = model->token_loop(2);
      loop->set_users(std::vector<std::optional<TokenUser>>{
          TokenUser{.id = 3, .position = 7}, TokenUser{.id = 4, .position = 12, .sampling = {.temperature = 1}}});
      for (int step = 0; step < 12; ++step) {
        loop->begin_step();
        result.push_back(loop->end_step());
      }
    }
    model->set_execution(before);
    return result;
  };
  EXPECT_EQ(tokens(true), tokens(false));
}

TEST(TensorParallel, HeadsThatTheChipsCannotShareAreRefusedWithWhatWorks) {
  const SmallDecoder small(small_config()); // 6 query heads, 2 KV heads
  EXPECT_THAT(
      [&] {
        load(small, {2, 2, kLine}, 1);
      },
      ThrowsMessage<base::InvalidArgument>(testing::AllOf(HasSubstr("6 query heads and 2 key-value heads"),
                                                          HasSubstr("received 4 chips"),
                                                          HasSubstr("1, 2, 6 are possible"))));
  EXPECT_NO_THROW(load(small, {2, 2, kGrid}, 1));
  EXPECT_NO_THROW(load(small, {1, 6, kLine}, 1));
}

TEST(TensorParallel, RecordModeNeedsNoWeights) {
  const auto model = plan(odd_config(), "bfp8", 32, 96, mesh_board(2, 4));
  model->forward_prefill(0, random_ids(50, 1), LogitsRows::LAST);
  EXPECT_EQ(model->decode_step(32).shape(), Shape({1, 1, 32, 51}));
}

TEST(TensorParallel, ShardsAreWholeTilesAndCoverTheDimension) {
  for (const std::int64_t extent : {1, 31, 52, 64, 75, 4096}) {
    EXPECT_EQ(shard_extent(extent, 1), extent);
    for (const std::int64_t ways : {2, 3, 8}) {
      EXPECT_EQ(shard_extent(extent, ways) % 32, 0);
      EXPECT_GE(shard_extent(extent, ways) * ways, extent);
      EXPECT_LT(shard_extent(extent, ways), extent / ways + 33);
    }
  }
}

} // namespace
} // namespace tessera::nn
