// Copies of a decoder against one copy: the same bits, user by user.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tessera/nn/data_parallel.hpp"
#include "tests/nn/small_decoder.hpp"

namespace tessera::nn {
namespace {

using test::bits_of;
using test::random_values;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr std::int64_t kContext = 96;

struct Shape2d {
  std::int64_t rows;
  std::int64_t columns;
};

/// Copies on submeshes of this shape, all that a t3000 has room for.
std::unique_ptr<DataParallel> load_copies(const SmallDecoder& small, const std::string& precision,
                                          std::int64_t users_of_copy, Shape2d shape, std::int64_t copies) {
  const auto mesh = runtime::MeshDevice::open({.board = mesh_board(2, 4), .command_queues = 2});
  std::vector<std::unique_ptr<DecoderModel>> models;
  for (const auto& submesh : mesh->create_submeshes(shape.rows, shape.columns)) {
    if (static_cast<std::int64_t>(models.size()) == copies) break;
    models.push_back(small.load_on(submesh, precision, users_of_copy, kContext, TensorParallelScheme::LINE,
                                   models.empty() ? nullptr : models.front().get()));
  }
  return std::make_unique<DataParallel>(std::move(models));
}

struct Case {
  std::int64_t copies;
  Shape2d shape; // of a copy's submesh
};

class Copies : public testing::TestWithParam<Case> {
 protected:
  SmallDecoder small{odd_config()};
  /// One copy for all users, and the copies that they are spread over.
  std::unique_ptr<DecoderModel> one =
      small.load("accuracy", kUsers, {.board = mesh_board(GetParam().shape.rows, GetParam().shape.columns)}, kContext);
  std::unique_ptr<DataParallel> several =
      load_copies(small, "accuracy", div_up(kUsers, GetParam().copies), GetParam().shape, GetParam().copies);

  static constexpr std::int64_t kUsers = 11;
};
INSTANTIATE_TEST_SUITE_P(Meshes, Copies,
                         testing::Values(Case{2, {1, 1}}, Case{4, {1, 1}}, Case{8, {1, 1}}, Case{4, {1, 2}},
                                         Case{2, {1, 4}}),
                         [](const auto& test) {
                           return fmt::format("{}Of{}x{}", test.param.copies, test.param.shape.rows,
                                              test.param.shape.columns);
                         });

TEST_P(Copies, GiveTheBitsOfOneCopyUserByUser) {
  std::vector<std::int32_t> ids;
  std::vector<std::int32_t> positions;
  for (std::int64_t user = 0; user < kUsers; ++user) {
    const auto prompt = random_ids(5 + 3 * user, static_cast<std::uint32_t>(user));
    HiddenStates expected;
    HiddenStates states;
    EXPECT_EQ(bits_of(several->prefill(user, prompt, LogitsRows::LAST, &states)),
              bits_of(one->prefill(user, prompt, LogitsRows::LAST, &expected)));
    EXPECT_EQ(bits_of(states.back()), bits_of(expected.back()));
    ids.push_back(static_cast<std::int32_t>(user));
    positions.push_back(user == 4 ? -1 : static_cast<std::int32_t>(prompt.size()));
  }
  HiddenStates expected;
  HiddenStates states;
  const HostTensor logits = several->decode(ids, positions, &states);
  const HostTensor expected_logits = one->decode(ids, positions, &expected);
  ASSERT_EQ(logits.shape, expected_logits.shape);
  ASSERT_EQ(states.size(), expected.size());
  for (std::int64_t user = 0; user < kUsers; ++user) {
    if (user == 4) continue; // idle
    EXPECT_EQ(bits_of(row_of(logits, user)), bits_of(row_of(expected_logits, user))) << user;
    EXPECT_EQ(bits_of(row_of(states.back(), user)), bits_of(row_of(expected.back(), user))) << user;
  }
}

TEST_P(Copies, DrawTheTokensOfOneCopy) {
  const auto tokens = [](CausalLM& model, std::int64_t count) {
    std::vector<std::optional<TokenUser>> users;
    for (std::int64_t user = 0; user < count; ++user) {
      model.prefill(user, random_ids(4 + user, static_cast<std::uint32_t>(user)), LogitsRows::LAST, nullptr);
      users.push_back(TokenUser{.id = 1,
                                .position = static_cast<std::int32_t>(4 + user),
                                .sampling = {.temperature = user % 2 == 0 ? 0.0F : 1.0F},
                                .seed = static_cast<std::uint64_t>(user)});
    }
    const auto loop = model.token_loop(count);
    loop->set_users(users);
    std::vector<std::vector<std::int32_t>> drawn;
    loop->begin_step();
    for (int step = 0; step < 9; ++step) {
      loop->begin_step(); // one ahead
      drawn.push_back(loop->end_step());
    }
    drawn.push_back(loop->end_step());
    return drawn;
  };
  EXPECT_EQ(tokens(*several, kUsers), tokens(*one, kUsers));
  EXPECT_EQ(tokens(*several, 1), tokens(*one, 1)) << "fewer users than copies";
}

TEST_P(Copies, RunModulesOnAllOfThem) {
  const HostTensor x = random_values({kUsers, 6, 52}, 5);
  for (const char* name : {"layers.1", "layers.0.attention", "final_norm"}) {
    EXPECT_EQ(bits_of(several->run_module(name, x, Phase::DECODE)), bits_of(one->run_module(name, x, Phase::DECODE)))
        << name;
  }
}

TEST(DataParallelTest, ACopyHoldsNoWeightsOfItsOwn) {
  const SmallDecoder small(odd_config());
  const auto copies = load_copies(small, "full", 1, {1, 2}, 4);
  const auto& weights = copies->copy(0).weights();
  for (std::int64_t number = 1; number < copies->count(); ++number) {
    ASSERT_EQ(copies->copy(number).weights().size(), weights.size());
    for (std::size_t i = 0; i < weights.size(); ++i) {
      for (const std::int64_t chip : {0, 1})
        EXPECT_EQ(copies->copy(number).weights()[i].view().bytes(chip), weights[i].view().bytes(chip)) << i;
    }
  }
  EXPECT_EQ(copies->info().max_users, 4);
}

TEST(DataParallelTest, UsersThatAreNotThereAreRefused) {
  const SmallDecoder small(odd_config());
  const auto copies = load_copies(small, "full", 2, {1, 4}, 2);
  const auto ids = random_ids(5, 1);
  EXPECT_THAT([&] { copies->prefill(4, ids, LogitsRows::LAST, nullptr); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("user must be in 0..3; received 4")));
  EXPECT_THAT([&] { copies->token_loop(5); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("1 to 4 users are possible; received 5")));
  EXPECT_THROW(copies->decode(ids, ids, nullptr), base::InvalidArgument);
}

} // namespace
} // namespace tessera::nn
