#include "tessera/bringup/live_reference.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "tests/bringup/bench.hpp"

namespace tessera::bringup {
namespace {

using testing::Bench;
using testing::TemporaryFolder;

double root_mean_square(const std::vector<float>& values) {
  double sum = 0.0;
  for (const float value : values) sum += static_cast<double>(value) * value;
  return std::sqrt(sum / static_cast<double>(values.size()));
}

TEST(LiveReference, IsNotOpenedWhenTheCacheHasEverything) {
  TemporaryFolder folder;
  Bench first({}, folder.path());
  EXPECT_TRUE(first.run().passed());
  EXPECT_EQ(first.opened, 1);
  Bench second({}, folder.path());
  EXPECT_TRUE(second.run().passed());
  EXPECT_EQ(second.opened, 0);
}

TEST(LiveReference, GivesTheSameFromTheCache) {
  TemporaryFolder folder;
  Bench first({}, folder.path());
  Bench second({}, folder.path());
  const Ids& text = first.material.texts[0];
  for (const char* module : {"embedding", "layers.1.attention", "lm_head"}) {
    const ModuleCase* computed = first.reference.module_case(module);
    const ModuleCase* stored = second.reference.module_case(module);
    EXPECT_EQ(computed->input.data, stored->input.data);
    EXPECT_EQ(computed->expected.shape, stored->expected.shape);
    EXPECT_EQ(computed->expected.data, stored->expected.data);
  }
  const ReferenceOutput* computed = first.reference.sequence(text);
  const ReferenceOutput* stored = second.reference.sequence(text);
  ASSERT_EQ(computed->hidden_states.size(), 4u);
  EXPECT_EQ(computed->hidden_states[3].data, stored->hidden_states.at(3).data);
  EXPECT_EQ(computed->logits.data, stored->logits.data);
  const auto continuation = first.reference.continuation({1, 2}, 9);
  EXPECT_EQ(continuation, second.reference.continuation({1, 2}, 9));
  EXPECT_EQ(second.opened, 0);
}

TEST(LiveReference, ComputesAnewWhatIsDamagedOrOfAnotherCheckpoint) {
  TemporaryFolder folder;
  const auto compute = [&](const std::string& identity) {
    int computed = 0;
    const ResultCache cache(folder.path(), identity);
    const TensorMap result = cache.get("sequence 1,2", [&] {
      ++computed;
      return TensorMap{{"logits", {{2}, {1.0F, 2.0F}}}};
    });
    EXPECT_EQ(result.at("logits").data, (std::vector<float>{1.0F, 2.0F}));
    return computed;
  };
  EXPECT_EQ(compute("a"), 1);
  EXPECT_EQ(compute("a"), 0);
  EXPECT_EQ(compute("b"), 1);
  for (const auto& file : std::filesystem::directory_iterator(folder.path())) {
    std::filesystem::resize_file(file.path(), std::filesystem::file_size(file.path()) - 1);
  }
  EXPECT_EQ(compute("a"), 1);
  EXPECT_EQ(compute("a"), 0);
}

TEST(LiveReference, FeedsModulesWithTheSpreadOfTheResidualStream) {
  Bench bench;
  const auto& states = bench.reference.sequence(bench.material.texts[0])->hidden_states;
  // 4 x 40 x 16 normal values: the root mean square has a standard deviation of 1.4 %.
  const double expected = root_mean_square(states[2].data);
  EXPECT_NEAR(root_mean_square(bench.reference.module_case("layers.2")->input.data), expected, 0.06 * expected);
  EXPECT_NEAR(root_mean_square(bench.reference.module_case("layers.0.rope")->input.data), 1.0, 0.06);
  EXPECT_EQ(bench.reference.module_case("layers.1.mlp")->input.data,
            bench.reference.module_case("layers.1.post_attention_norm")->expected.data);
  EXPECT_EQ(bench.reference.module_case("lm_head")->input.data,
            bench.reference.module_case("final_norm")->expected.data);
}

TEST(LiveReference, FeedsTheEmbeddingItsFirstAndLastRow) {
  Bench bench;
  const auto& ids = bench.reference.module_case("embedding")->input;
  EXPECT_EQ(ids.shape, (Shape{4, 40}));
  EXPECT_EQ(ids.data.front(), 0.0F);
  EXPECT_EQ(ids.data.back(), 31.0F);
}

TEST(CutText, DropsAPieceThatPredictsNothing) {
  const Ids ids{1, 2, 3, 4, 5, 6, 7};
  EXPECT_EQ(cut_text(ids, 3, 100), (std::vector<Ids>{{1, 2, 3}, {4, 5, 6}}));
  EXPECT_EQ(cut_text(ids, 4, 100), (std::vector<Ids>{{1, 2, 3, 4}, {5, 6, 7}}));
  EXPECT_EQ(cut_text(ids, 4, 5), (std::vector<Ids>{{1, 2, 3, 4}}));
}

} // namespace
} // namespace tessera::bringup
