// Decoding on the device, eager and traced, over one and two queues: the same bits.

#include "tessera/nn/token_loop.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tests/allocation_counter.hpp"
#include "tests/nn/small_decoder.hpp"

namespace tessera::nn {
namespace {

using test::bits_of;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using Users = std::vector<std::optional<TokenUser>>;

/// What a loop gave: each step's tokens and logits.
struct Decoded {
  std::vector<std::vector<std::int32_t>> ids;
  std::vector<std::vector<std::uint32_t>> logits;

  friend bool operator==(const Decoded&, const Decoded&) = default;
};

/// Users 0 and 2 of four, one greedy and one drawn; then user 1 joins and user 2 leaves.
Decoded decode_some(CausalLM& model, TokenLoop& loop) {
  Users users(4);
  const auto start = [&](std::int64_t user, std::int64_t length, const ops::SamplingParameters& sampling) {
    model.prefill(user, random_ids(length, static_cast<std::uint32_t>(user)), LogitsRows::LAST, nullptr);
    users[static_cast<std::size_t>(user)] = {
        .id = 7, .position = static_cast<std::int32_t>(length), .sampling = sampling, .seed = 3};
  };
  Decoded decoded;
  const auto steps = [&](int count) {
    for (int step = 0; step < count; ++step) {
      loop.begin_step();
      const HostTensor logits = loop.logits();
      const auto ids = loop.end_step();
      decoded.ids.emplace_back();
      for (std::size_t i = 0; i < users.size(); ++i) {
        if (!users[i]) continue;
        decoded.ids.back().push_back(ids[i]);
        decoded.logits.push_back(bits_of(row_of(logits, static_cast<std::int64_t>(i))));
        users[i]->id = ids[i];
        ++users[i]->position;
      }
    }
  };
  start(0, 5, {});
  start(2, 33, {.temperature = 0.9F, .top_k = 20, .top_p = 0.95F});
  loop.set_users(users);
  steps(5);
  users[2].reset();
  start(1, 12, {.temperature = 1.5F});
  loop.set_users(users);
  steps(5);
  return decoded;
}

Decoded decode_on(const SmallDecoder& small, const std::string& precision, bool traced, int queues, int threads) {
  const auto model = small.load(precision, 4, {.threads = threads, .command_queues = queues});
  model->set_execution({.trace = traced});
  const auto loop = model->token_loop(4);
  return decode_some(*model, *loop);
}

class TokenLoopOfPreset : public testing::TestWithParam<std::string> {
 protected:
  SmallDecoder small{small_config_with_window(20)};
};
INSTANTIATE_TEST_SUITE_P(Presets, TokenLoopOfPreset, testing::Values("full", "bf16", "accuracy", "bfp4"),
                         [](const auto& test) { return test.param; });

TEST_P(TokenLoopOfPreset, TracesQueuesAndThreadsDoNotChangeABit) {
  const auto model = small.load(GetParam(), 4);
  HostTokenLoop host(*model, 4);
  const Decoded expected = decode_some(*model, host);
  for (const bool traced : {false, true}) {
    for (const int queues : {1, 2}) {
      for (const int threads : {1, 2}) {
        SCOPED_TRACE(fmt::format("traced {}, {} queues, {} threads", traced, queues, threads));
        EXPECT_EQ(decode_on(small, GetParam(), traced, queues, threads), expected);
      }
    }
  }
}

TEST_P(TokenLoopOfPreset, PromptsThatComeAgainAreReplayedToTheSameBits) {
  const auto traced = small.load(GetParam());
  const auto eager = small.load(GetParam());
  eager->set_execution({.trace = false});
  for (const std::int64_t length : {1, 9, 31, 33, 50, 96}) {
    for (std::uint32_t time = 0; time < 4; ++time) {
      const auto ids = random_ids(length, time);
      EXPECT_EQ(bits_of(traced->prefill(0, ids, LogitsRows::LAST, nullptr)),
                bits_of(eager->prefill(0, ids, LogitsRows::LAST, nullptr)))
          << length << " tokens, time " << time;
      if (length == 96) continue;
      // The cache behind the prompt is what decode needs, whatever the rows behind the prompt left there.
      const auto position = static_cast<std::int32_t>(length);
      EXPECT_EQ(bits_of(traced->decode({{3}}, {{position}}, nullptr)),
                bits_of(eager->decode({{3}}, {{position}}, nullptr)));
    }
  }
}

TEST(TokenLoop, StepsMayBeBegunBeforeTheOneBeforeIsRead) {
  const SmallDecoder small;
  const auto model = small.load("bf16", 1, {.command_queues = 2});
  Users users{TokenUser{.id = 1, .position = 0, .sampling = {.temperature = 1.0F}, .seed = 9}};
  const auto loop = model->token_loop(1);
  loop->set_users(users);
  std::vector<std::int32_t> apart;
  for (int step = 0; step < 12; ++step) {
    loop->begin_step();
    apart.push_back(loop->end_step()[0]);
  }
  std::vector<std::int32_t> ahead;
  loop->set_users(users);
  loop->begin_step();
  for (int step = 1; step < 12; ++step) {
    loop->begin_step();
    ahead.push_back(loop->end_step()[0]);
  }
  ahead.push_back(loop->end_step()[0]);
  EXPECT_EQ(ahead, apart);
  EXPECT_THROW(loop->end_step(), base::InvalidArgument);
}

TEST(TokenLoop, AReplayedStepIsOneCommandAndAllocatesNothing) {
  const SmallDecoder small;
  const auto model = small.load("accuracy", 2, {.threads = 1});
  model->inputs().write_users(std::vector<std::int32_t>{1, 2}, std::vector<std::int32_t>{0, 0},
                              std::vector<std::int32_t>{0, 0});
  model->inputs().write_sampling(Users(2));
  model->decode_step(2);
  tensor::Tensor logits;
  const runtime::Trace trace(model->device().shared_from_this(), 0, [&] { logits = model->decode_step(2); });
  for (int warm_up = 0; warm_up < 3; ++warm_up) trace.execute(true);
  const std::uint64_t commands = model->device().queue().submitted();
  const std::int64_t allocations = tests::allocations();
  for (int step = 0; step < 5; ++step) trace.execute(true);
  EXPECT_EQ(tests::allocations() - allocations, 0);
  EXPECT_EQ(model->device().queue().submitted() - commands, 5U);
  EXPECT_THAT(tensor::to_host_integers(model->inputs().positions), testing::ElementsAre(9, 9));
}

TEST(TokenLoop, ATraceRegionThatIsTooSmallSaysWhatIsNeeded) {
  const SmallDecoder small;
  const auto model = small.load("bf16", 1, {.trace_region_size = 32});
  const auto loop = model->token_loop(1);
  loop->set_users(Users{TokenUser{}});
  loop->begin_step();
  EXPECT_THAT([&] { loop->begin_step(); }, ThrowsMessage<base::OutOfMemory>(HasSubstr("trace_region_size")));
  EXPECT_NO_THROW(loop->end_step());
}

TEST(TokenLoop, RefusesMoreUsersThanTheModelTakes) {
  const SmallDecoder small;
  const auto model = small.load("bf16", 2);
  EXPECT_THAT([&] { model->token_loop(3); }, ThrowsMessage<base::InvalidArgument>(HasSubstr("1 to 2 users")));
}

} // namespace
} // namespace tessera::nn
