#include "tessera/generate/generator.hpp"

#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tessera/metrics/logits.hpp"
#include "tests/generate/tiny_model.hpp"

namespace tessera::generate {
namespace {

using testing::TinyModel;
using Ids = std::vector<std::int32_t>;

/// Greedy continuation by a whole prefill for each token: no cache, no scheduling.
Ids slow_greedy(const Ids& prompt, std::int64_t tokens) {
  TinyModel model;
  Ids ids = prompt;
  for (std::int64_t i = 0; i < tokens; ++i) {
    const auto logits = model.prefill(0, ids, nn::LogitsRows::LAST, nullptr);
    ids.push_back(static_cast<std::int32_t>(metrics::argmax(logits.row(0))));
  }
  return {ids.begin() + static_cast<std::ptrdiff_t>(prompt.size()), ids.end()};
}

std::vector<Request> requests_of_many_lengths() {
  std::vector<Request> requests;
  for (std::int32_t i = 0; i < 9; ++i) {
    Request request{.max_tokens = 3 + (i * 5) % 11};
    for (std::int32_t k = 0; k <= (i * 7) % 10; ++k) request.prompt_ids.push_back((i * 13 + k * 5) % 32);
    requests.push_back(request);
  }
  return requests;
}

/// Keeps the lengths that sequences were said to have.
class ListeningModel : public TinyModel {
 public:
  using TinyModel::TinyModel;
  void begin_sequence(std::int64_t /*user*/, std::int64_t length) override { lengths.push_back(length); }
  std::vector<std::int64_t> lengths;
};

// A rotary embedding that depends on the length is chosen once, for the prompt and all that may follow.
TEST(Generator, SaysHowLongASequenceMayBecome) {
  ListeningModel model;
  const std::int64_t context = model.info().context;
  const std::vector<Request> requests{{.prompt_ids = {1, 2, 3}, .max_tokens = 5},
                                      {.prompt_ids = {4}, .max_tokens = 10 * context}};
  generate(model, requests);
  EXPECT_EQ(model.lengths, (std::vector<std::int64_t>{8, context}));
}

TEST(Generator, GivesEachUserWhatItGetsAlone) {
  TinyModel model({.max_users = 4});
  const auto requests = requests_of_many_lengths();
  const auto generations = generate(model, requests);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(generations[i].ids, slow_greedy(requests[i].prompt_ids, requests[i].max_tokens)) << "request " << i;
    EXPECT_EQ(generations[i].finish, Finish::MAX_TOKENS);
  }
}

TEST(Generator, SamplesTheSameWhoeverElseIsScheduled) {
  TinyModel model({.max_users = 3});
  auto requests = requests_of_many_lengths();
  for (std::size_t i = 0; i < requests.size(); ++i) requests[i].sampling = {.temperature = 1.0, .seed = i};
  const auto together = generate(model, requests);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(together[i].ids, generate(model, std::span(&requests[i], 1))[0].ids) << "request " << i;
  }
}

TEST(Generator, CallsBackForEachTokenInOrder) {
  TinyModel model({.max_users = 2});
  const auto requests = requests_of_many_lengths();
  std::vector<Ids> streamed(requests.size());
  const auto generations = generate(
      model, requests, {.on_token = [&](std::size_t request, std::int32_t id) { streamed[request].push_back(id); }});
  for (std::size_t i = 0; i < requests.size(); ++i) EXPECT_EQ(streamed[i], generations[i].ids);
}

TEST(Generator, StopsAtAStopIdAndKeepsItBack) {
  TinyModel model;
  const Ids free_run = slow_greedy({1, 2, 3}, 8);
  const Request request{.prompt_ids = {1, 2, 3}, .max_tokens = 8};
  const auto generation = generate(model, std::span(&request, 1), {.stop_ids = {free_run[3]}})[0];
  EXPECT_EQ(generation.finish, Finish::STOP_ID);
  const auto first = std::find(free_run.begin(), free_run.end(), free_run[3]);
  EXPECT_EQ(generation.ids, Ids(free_run.begin(), first));
}

TEST(Generator, FillsTheContextToItsLastPosition) {
  TinyModel model({.context = 8});
  const Request request{.prompt_ids = {1, 2, 3}, .max_tokens = 100};
  const auto generation = generate(model, std::span(&request, 1))[0];
  EXPECT_EQ(generation.finish, Finish::CONTEXT_END);
  EXPECT_EQ(generation.ids.size(), 6u); // positions 3 to 7 are fed; the token after position 7 is not
  const Request full{.prompt_ids = Ids(8, 1), .max_tokens = 100};
  EXPECT_EQ(generate(model, std::span(&full, 1))[0].ids.size(), 1u);
}

TEST(Generator, EndsEveryRequestWhenCancelled) {
  TinyModel model({.max_users = 1});
  std::atomic<bool> cancelled = false;
  int tokens = 0;
  const auto generations =
      generate(model, requests_of_many_lengths(),
               {.on_token = [&](std::size_t, std::int32_t) { cancelled = ++tokens == 5; }, .cancelled = &cancelled});
  EXPECT_EQ(tokens, 5);
  EXPECT_EQ(generations.front().finish, Finish::MAX_TOKENS);
  EXPECT_EQ(generations.back().finish, Finish::CANCELLED);
  EXPECT_TRUE(generations.back().ids.empty());
}

TEST(Generator, MeasuresTimeToFirstTokenAndSpeed) {
  TinyModel model;
  const Request request{.prompt_ids = {1}, .max_tokens = 4};
  const auto generation = generate(model, std::span(&request, 1))[0];
  EXPECT_GT(generation.time_to_first_token_s, 0.0);
  EXPECT_EQ(generation.decode_steps, 3);
  EXPECT_DOUBLE_EQ(generation.tokens_per_s(), 3 / generation.decode_s);
}

TEST(Generator, TakesRequestsWhileOthersRun) {
  TinyModel model({.max_users = 2});
  Generator generator(model);
  generator.submit({.prompt_ids = {1, 2, 3}, .max_tokens = 6});
  ASSERT_TRUE(generator.step() && generator.step());
  generator.submit({.prompt_ids = {4, 5}, .max_tokens = 6});
  generator.run();
  EXPECT_EQ(generator.generations()[0].ids, slow_greedy({1, 2, 3}, 6));
  EXPECT_EQ(generator.generations()[1].ids, slow_greedy({4, 5}, 6));
  EXPECT_FALSE(generator.step());
}

TEST(Generator, RefusesBadRequestsInOneLine) {
  TinyModel model({.context = 4, .max_users = 2});
  Generator generator(model);
  const auto error_of = [&](Request request) -> std::string {
    try {
      generator.submit(std::move(request));
    } catch (const base::InvalidArgument& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(error_of({}), "[generate] the prompt must hold at least one id; received none");
  EXPECT_EQ(error_of({.prompt_ids = Ids(5, 1)}),
            "[generate] the prompt must fit the context of 4 positions; received 5 ids; shorten it or raise --context");
  EXPECT_EQ(error_of({.prompt_ids = {1, 32}}), "[generate] ids of the prompt must be in 0..31; received 32");
  EXPECT_EQ(error_of({.prompt_ids = {1}, .max_tokens = 0}), "[generate] max_tokens must be at least 1; received 0");
  EXPECT_THROW(Generator(model, {.max_users = 3}), base::InvalidArgument);
}

} // namespace
} // namespace tessera::generate
