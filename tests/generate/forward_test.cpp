#include "tessera/generate/forward.hpp"

#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tests/generate/tiny_model.hpp"

namespace tessera::generate {
namespace {

using testing::TinyModel;
using Sequences = std::vector<std::vector<std::int32_t>>;

const Sequences kSequences = {{1, 2, 3, 4, 5}, {7}, {9, 8, 7}, {11, 12}, {30, 31, 0, 1}, {4, 4, 4}};

void expect_equal(const std::vector<SequenceOutput>& a, const std::vector<SequenceOutput>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].logits.shape, b[i].logits.shape);
    EXPECT_EQ(a[i].logits.data, b[i].logits.data) << "sequence " << i;
    ASSERT_EQ(a[i].hidden_states.size(), b[i].hidden_states.size());
    for (std::size_t n = 0; n < a[i].hidden_states.size(); ++n) {
      EXPECT_EQ(a[i].hidden_states[n].data, b[i].hidden_states[n].data) << "sequence " << i << " state " << n;
    }
  }
}

TEST(Forward, GivesTheSameInPrefillDecodeAndBothInTurn) {
  TinyModel model({.max_users = 4});
  const auto prefill = forward(model, kSequences, {.hidden_states = true});
  expect_equal(prefill, forward(model, kSequences, {.prefill_positions = 0, .hidden_states = true}));
  expect_equal(prefill, forward(model, kSequences, {.prefill_positions = 2, .hidden_states = true}));
  EXPECT_EQ(prefill[0].logits.shape, (Shape{5, 32}));
  EXPECT_EQ(prefill[0].hidden_states.size(), 4u);
}

TEST(Forward, CountsEveryPositionAsProgress) {
  TinyModel model;
  std::int64_t last = 0;
  forward(model, kSequences, {.prefill_positions = 2, .progress = [&](std::int64_t done, std::int64_t total) {
                                EXPECT_EQ(total, 18);
                                EXPECT_GT(done, last);
                                last = done;
                              }});
  EXPECT_EQ(last, 18);
}

TEST(Forward, RefusesWhatTheModelCannotTake) {
  TinyModel model({.context = 4});
  EXPECT_THROW(forward(model, Sequences{{}}), base::InvalidArgument);
  EXPECT_THROW(forward(model, Sequences{{1, 2, 3, 4, 5}}), base::InvalidArgument);
  EXPECT_THROW(forward(model, Sequences{{1, 32}}), base::InvalidArgument);
  EXPECT_THROW(forward(model, Sequences{{-1}}), base::InvalidArgument);
}

TEST(Stack, JoinsSequencesOfOneLength) {
  TinyModel model;
  auto outputs = forward(model, Sequences{{1, 2}, {3, 4}, {5, 6}}, {.hidden_states = true});
  const std::vector<float> last = outputs[2].logits.data;
  const SequenceOutput stacked = stack(std::move(outputs));
  EXPECT_EQ(stacked.logits.shape, (Shape{3, 2, 32}));
  EXPECT_EQ(stacked.hidden_states.at(3).shape, (Shape{3, 2, 16}));
  EXPECT_TRUE(std::equal(last.begin(), last.end(), stacked.logits.data.end() - 64));
  EXPECT_THROW(stack(forward(model, Sequences{{1, 2}, {3}})), base::InvalidArgument);
}

} // namespace
} // namespace tessera::generate
