// Batches: what a user gets does not depend on who else is there, bit for bit.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/nn/small_decoder.hpp"

namespace tessera::nn {
namespace {

using test::bits_of;

constexpr std::int64_t kUsers = 32;
constexpr std::int32_t kSteps = 3;

/// User u's prompt: 32 different lengths, from 1 token to nearly the whole context.
std::vector<std::int32_t> prompt_of(std::int64_t user) {
  return random_ids(1 + user * 29 / 10, static_cast<std::uint32_t>(100 + user));
}
std::int32_t token_of(std::int64_t user, std::int32_t step) {
  return static_cast<std::int32_t>((user * 7 + step * 11) % 50);
}

/// A user's prompt and steps with nobody else: the bits of all its logits.
std::vector<std::uint32_t> alone(DecoderModel& model, std::int64_t user) {
  const std::vector<std::int32_t> ids = prompt_of(user);
  std::vector<std::uint32_t> bits = bits_of(model.prefill(0, ids, LogitsRows::LAST, nullptr));
  for (std::int32_t step = 0; step < kSteps; ++step) {
    const auto position = static_cast<std::int32_t>(ids.size()) + step;
    const auto row = bits_of(model.decode({{token_of(user, step)}}, {{position}}, nullptr));
    bits.insert(bits.end(), row.begin(), row.end());
  }
  return bits;
}

class BatchOfPreset : public testing::TestWithParam<std::string> {
 protected:
  SmallDecoder small{small_config_with_window(20)};
};
INSTANTIATE_TEST_SUITE_P(Presets, BatchOfPreset, testing::Values("full", "bf16", "accuracy", "performance"),
                         [](const auto& test) { return test.param; });

TEST_P(BatchOfPreset, ThirtyTwoUsersOfDifferentLengthsGetExactlyWhatTheyGetAlone) {
  const auto together = small.load(GetParam(), kUsers);
  std::vector<std::vector<std::uint32_t>> bits(kUsers);
  for (std::int64_t user = 0; user < kUsers; ++user) {
    bits[static_cast<std::size_t>(user)] = bits_of(together->prefill(user, prompt_of(user), LogitsRows::LAST, nullptr));
  }
  for (std::int32_t step = 0; step < kSteps; ++step) {
    std::vector<std::int32_t> ids;
    std::vector<std::int32_t> positions;
    for (std::int64_t user = 0; user < kUsers; ++user) {
      ids.push_back(token_of(user, step));
      positions.push_back(static_cast<std::int32_t>(prompt_of(user).size()) + step);
    }
    const HostTensor logits = together->decode(ids, positions, nullptr);
    for (std::int64_t user = 0; user < kUsers; ++user) {
      const auto row = bits_of(row_of(logits, user));
      bits[static_cast<std::size_t>(user)].insert(bits[static_cast<std::size_t>(user)].end(), row.begin(), row.end());
    }
  }
  const auto single = small.load(GetParam(), 1);
  for (std::int64_t user = 0; user < kUsers; ++user)
    EXPECT_EQ(bits[static_cast<std::size_t>(user)], alone(*single, user)) << "user " << user;
}

TEST_P(BatchOfPreset, IdleUsersChangeNothingAndKeepTheirCaches) {
  const auto model = small.load(GetParam(), 4);
  for (std::int64_t user = 0; user < 4; ++user) model->prefill(user, prompt_of(user + 3), LogitsRows::LAST, nullptr);
  std::vector<std::int32_t> positions;
  for (std::int64_t user = 0; user < 4; ++user)
    positions.push_back(static_cast<std::int32_t>(prompt_of(user + 3).size()));
  const HostTensor all = model->decode({{1, 2, 3, 4}}, positions, nullptr);
  for (std::int64_t busy = 0; busy < 4; ++busy) {
    std::vector<std::int32_t> some(4, -1);
    some[static_cast<std::size_t>(busy)] = positions[static_cast<std::size_t>(busy)];
    // The same token at the same position again: it finds the cache as it was.
    const HostTensor one = model->decode({{1, 2, 3, 4}}, some, nullptr);
    EXPECT_EQ(bits_of(row_of(one, busy)), bits_of(row_of(all, busy))) << "user " << busy;
  }
}

TEST_P(BatchOfPreset, APrefillLeavesOtherUsersAlone) {
  const auto model = small.load(GetParam(), 3);
  model->prefill(1, prompt_of(10), LogitsRows::LAST, nullptr);
  const auto position = static_cast<std::int32_t>(prompt_of(10).size());
  const HostTensor before = model->decode({{0, 5}}, {{-1, position}}, nullptr);
  model->prefill(0, random_ids(96, 1), LogitsRows::LAST, nullptr);
  model->prefill(2, random_ids(96, 2), LogitsRows::LAST, nullptr);
  const HostTensor after = model->decode({{0, 5}}, {{-1, position}}, nullptr);
  EXPECT_EQ(bits_of(row_of(after, 1)), bits_of(row_of(before, 1)));
}

} // namespace
} // namespace tessera::nn
