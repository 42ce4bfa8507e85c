#include "tessera/ops/sampling/sampling.hpp"

#include "tessera/ops/eltwise/plus_one.hpp"
#include "tessera/ops/sampling/draw_token.hpp"
#include "tests/ops/ops_fixture.hpp"

namespace tessera::ops {
namespace {

struct User {
  SamplingParameters parameters;
  std::uint64_t seed = 0;
  std::int32_t position = 0;
};

/// Users with a bit of everything.
std::vector<User> mixed_users(std::size_t count) {
  const std::array kinds = {SamplingParameters{}, SamplingParameters{.temperature = 1.0F},
                            SamplingParameters{.temperature = 0.7F, .top_k = 50},
                            SamplingParameters{.temperature = 1.5F, .top_p = 0.9F},
                            SamplingParameters{.temperature = 2.0F, .top_k = 20, .top_p = 0.8F}};
  std::vector<User> users;
  for (std::size_t i = 0; i < count; ++i)
    users.push_back({kinds[i % kinds.size()], 0x9876543210 * i, static_cast<std::int32_t>(31 * i)});
  return users;
}

Tensor floats_to_device(runtime::MeshDevice& device, const Shape& shape, std::vector<float> values) {
  return tensor::from_host(device, tensor::rows_of({shape, std::move(values)}),
                           {shape, DataType::FLOAT32, Layout::ROW_MAJOR, kDramInterleaved}, "test");
}

SamplingTensors tensors_of(runtime::MeshDevice& device, const std::vector<User>& users) {
  std::vector<float> temperature;
  std::vector<float> p;
  std::vector<std::int32_t> k;
  std::vector<std::int32_t> seed;
  std::vector<std::int32_t> positions;
  for (const User& user : users) {
    temperature.push_back(user.parameters.temperature);
    k.push_back(user.parameters.top_k);
    p.push_back(user.parameters.top_p);
    seed.push_back(static_cast<std::int32_t>(user.seed & 0xFFFFFFFF));
    seed.push_back(static_cast<std::int32_t>(user.seed >> 32));
    positions.push_back(user.position);
  }
  const std::int64_t count = std::ssize(users);
  return {.temperature = floats_to_device(device, {count}, temperature),
          .k = integers_to_device(device, {count}, k),
          .p = floats_to_device(device, {count}, p),
          .seed = integers_to_device(device, {count, 2}, seed),
          .positions = integers_to_device(device, {count}, positions)};
}

Tensor ids_on(runtime::MeshDevice& device, std::int64_t users) {
  return integers_to_device(device, {1, 1, users}, std::vector<std::int32_t>(static_cast<std::size_t>(users), -99));
}

std::vector<std::int32_t> sample(runtime::MeshDevice& device, const HostTensor& logits, const std::vector<User>& users,
                                 DataType dtype = DataType::FLOAT32, std::int64_t chip = 0) {
  const Tensor output = ids_on(device, std::ssize(users));
  sampling(to_device(device, logits, dtype), tensors_of(device, users), output);
  return tensor::to_host_integers(output, chip);
}

std::vector<std::int32_t> expected_of(const HostTensor& logits, const std::vector<User>& users) {
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < users.size(); ++i) {
    const auto& [parameters, seed, position] = users[i];
    ids.push_back(position < 0 ? -99
                               : draw_token(logits.row(static_cast<std::int64_t>(i)), parameters, seed, position));
  }
  return ids;
}

class SamplingOfFormat : public OpsTest, public testing::WithParamInterface<DataType> {};
INSTANTIATE_TEST_SUITE_P(Formats, SamplingOfFormat, kFloatFormats, test::dtype_name);

TEST_P(SamplingOfFormat, DrawsEachUsersTokenAsDrawTokenDoes) {
  for (const auto& [users, vocabulary] : {std::pair{1, 1}, {1, 20000}, {5, 64}, {32, 1000}, {33, 65}, {7, 9001}}) {
    const HostTensor logits = random_values({1, 1, users, vocabulary}, 7, 2.0F);
    const std::vector<User> mixed = mixed_users(static_cast<std::size_t>(users));
    EXPECT_EQ(sample(*device, logits, mixed, GetParam()), expected_of(rounded(logits, GetParam()), mixed))
        << users << " users, " << vocabulary << " logits";
  }
}

using SamplingTest = OpsTest;

TEST_F(SamplingTest, IdleUsersKeepTheirEntries) {
  HostTensor logits = random_values({1, 1, 6, 10000}, 1);
  std::vector<User> users = mixed_users(6);
  users[0].position = users[3].position = -1;
  users[3].parameters.top_p = -5.0F; // not looked at, nor are the logits
  std::fill_n(logits.data.begin(), 10000, std::numeric_limits<float>::quiet_NaN());
  const std::vector<std::int32_t> ids = sample(*device, logits, users);
  EXPECT_EQ(ids, expected_of(logits, users));
  EXPECT_EQ(ids[0], -99);
  EXPECT_NE(ids[1], -99);
}

TEST_F(SamplingTest, AUsersTokenDependsOnNobodyElseAndNotOnThreads) {
  for (const std::int64_t vocabulary : {500, 40000}) {
    const HostTensor logits = random_values({1, 1, 8, vocabulary}, 2, 0.5F);
    const std::vector<User> users = mixed_users(8);
    const std::vector<std::int32_t> together = sample(*device, logits, users);
    for (const int threads : {1, 3, 8}) {
      const auto other = runtime::MeshDevice::open({.threads = threads});
      EXPECT_EQ(sample(*other, logits, users), together) << threads << " threads";
    }
    for (std::int64_t i = 0; i < 8; ++i) {
      const auto row = logits.row(i);
      const HostTensor alone{{1, 1, 1, vocabulary}, {row.begin(), row.end()}};
      const auto user = static_cast<std::size_t>(i);
      EXPECT_EQ(sample(*device, alone, {users[user]}).front(), together[user]) << "user " << i;
    }
  }
}

TEST_F(SamplingTest, EveryChipDrawsTheSame) {
  const auto mesh = runtime::MeshDevice::open({.board = board("n300"), .threads = 2});
  const HostTensor logits = random_values({1, 1, 4, 9000}, 3);
  const std::vector<User> users = mixed_users(4);
  for (const std::int64_t chip : {0, 1})
    EXPECT_EQ(sample(*mesh, logits, users, DataType::FLOAT32, chip), expected_of(logits, users));
}

TEST_F(SamplingTest, BothHalvesOfTheSeedCount) {
  const HostTensor logits{{1, 1, 3, 100000}, std::vector<float>(300000, 1.0F)};
  const SamplingParameters parameters{.temperature = 1.0F};
  const std::vector<User> users{{parameters, 1, 5}, {parameters, 1 | std::uint64_t{1} << 63, 5}, {parameters, 1, 6}};
  const std::vector<std::int32_t> ids = sample(*device, logits, users);
  EXPECT_EQ(ids, expected_of(logits, users));
  EXPECT_NE(ids[0], ids[1]);
  EXPECT_NE(ids[0], ids[2]);
}

TEST_F(SamplingTest, ReadsItsParametersAndItsSeedWhenItRuns) {
  const HostTensor logits = random_values({1, 1, 2, 3000}, 4, 0.2F);
  const Tensor on_device = to_device(*device, logits, DataType::FLOAT32);
  std::vector<User> users = mixed_users(2);
  const SamplingTensors tensors = tensors_of(*device, users);
  const Tensor output = ids_on(*device, 2);
  tensor::write(tensors.positions, {77, 78});
  tensor::write_rows(tensors.temperature, tensor::rows_of({{2}, {0.5F, 0.0F}}));
  sampling(on_device, tensors, output);
  users[0].position = 77;
  users[0].parameters.temperature = 0.5F;
  users[1].position = 78;
  users[1].parameters.temperature = 0.0F;
  EXPECT_EQ(tensor::to_host_integers(output), expected_of(logits, users));
}

TEST_F(SamplingTest, ATraceDrawsTheTokensOfOnePositionAfterAnother) {
  const HostTensor logits = random_values({1, 1, 5, 9000}, 6, 0.3F);
  const Tensor on_device = to_device(*device, logits, DataType::FLOAT32);
  std::vector<User> users = mixed_users(5);
  users[3].position = -1;
  const SamplingTensors tensors = tensors_of(*device, users);
  const Tensor output = ids_on(*device, 5);
  const auto step = [&] {
    sampling(on_device, tensors, output);
    plus_one(tensors.positions);
  };
  step(); // each op runs once before it is captured
  const runtime::Trace trace(device, 0, step);
  for (int replay = 1; replay < 6; ++replay) {
    trace.execute(false);
    for (User& user : users) user.position += user.position < 0 ? 0 : 1;
    EXPECT_EQ(tensor::to_host_integers(output), expected_of(logits, users)) << "replay " << replay;
  }
}

TEST_F(SamplingTest, LogitsThatAreNotFiniteFailOnTheQueue) {
  HostTensor logits = random_values({1, 1, 3, 9000}, 5);
  logits.data[2 * 9000 + 8999] = std::numeric_limits<float>::infinity();
  EXPECT_THAT([&] { sample(*device, logits, mixed_users(3)); },
              ThrowsMessage<base::DeviceError>(
                  testing::AllOf(HasSubstr("[sampling] queued work must not fail"),
                                 HasSubstr("user 2: [sampling] the largest logit must be finite; received inf"))));
  std::fill_n(logits.data.begin(), 9000, std::numeric_limits<float>::quiet_NaN());
  EXPECT_THAT([&] { sample(*device, logits, mixed_users(1)); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("temperature must be FLOAT32 [3]")));
  EXPECT_THAT(
      [&] {
        sample(*device, {{1, 1, 1, 9000}, {logits.data.begin(), logits.data.begin() + 9000}}, mixed_users(1));
      },
      ThrowsMessage<base::DeviceError>(HasSubstr("received nan")));
  // The device goes on.
  const HostTensor good = random_values({1, 1, 3, 9000}, 5);
  EXPECT_EQ(sample(*device, good, mixed_users(3)), expected_of(good, mixed_users(3)));
}

TEST_F(SamplingTest, ParametersOutOfRangeFailOnTheQueue) {
  const HostTensor logits = random_values({1, 1, 2, 100}, 5);
  for (const auto& [parameters, part] :
       {std::pair{SamplingParameters{.temperature = -1.0F}, "user 1: [sampling] temperature must be a finite number"},
        {SamplingParameters{.top_k = -3}, "user 1: [sampling] top_k must be at least 0; received -3"},
        {SamplingParameters{.top_p = 0.0F}, "user 1: [sampling] top_p must be above 0"}}) {
    std::vector<User> users = mixed_users(2);
    users[1].parameters = parameters;
    EXPECT_THAT([&] { sample(*device, logits, users); }, ThrowsMessage<base::DeviceError>(HasSubstr(part)));
  }
}

TEST_F(SamplingTest, NamesItsOperandsInItsRecord) {
  RecordKeeper keeper(*device);
  sample(*device, random_values({1, 1, 3, 40}, 1), mixed_users(3));
  const auto record = std::find_if(keeper.records.begin(), keeper.records.end(),
                                   [](const OpRecord& candidate) { return candidate.name == "sampling"; });
  ASSERT_NE(record, keeper.records.end());
  EXPECT_THAT(names_of(record->inputs),
              testing::ElementsAre("input_tensor", "temperature", "k", "p", "seed", "positions"));
  EXPECT_THAT(names_of(record->outputs), testing::ElementsAre("output"));
  EXPECT_EQ(record->work.vector_flops, 120);
}

TEST_F(SamplingTest, RefusesOperandsThatDoNotFit) {
  const Tensor logits = random({1, 1, 2, 40}, 1);
  const SamplingTensors good = tensors_of(*device, mixed_users(2));
  const SamplingTensors three = tensors_of(*device, mixed_users(3));
  const Tensor output = ids_on(*device, 2);
  const auto with = [&](Tensor SamplingTensors::*member, const Tensor& tensor) {
    SamplingTensors changed = good;
    changed.*member = tensor;
    return changed;
  };
  EXPECT_INVALID(sampling(Tensor(), good, output), "[sampling] input_tensor must be a floating-point tensor");
  EXPECT_INVALID(sampling(random({1, 2, 2, 40}, 1), good, output), "[sampling] input_tensor must have the shape");
  EXPECT_INVALID(sampling(logits, with(&SamplingTensors::temperature, three.temperature), output),
                 "[sampling] temperature must be FLOAT32 [2] in ROW_MAJOR; received FLOAT32 [3]");
  EXPECT_INVALID(sampling(logits, with(&SamplingTensors::temperature, good.k), output), "received INT32 [2]");
  EXPECT_INVALID(sampling(logits, with(&SamplingTensors::k, three.k), output), "[sampling] k must be INT32 [2]");
  EXPECT_INVALID(sampling(logits, with(&SamplingTensors::p, Tensor()), output),
                 "[sampling] p must be FLOAT32 [2] in ROW_MAJOR; received none");
  EXPECT_INVALID(sampling(logits, with(&SamplingTensors::seed, good.k), output),
                 "[sampling] seed must be INT32 or UINT32 [2, 2]");
  EXPECT_INVALID(sampling(logits, with(&SamplingTensors::positions, three.positions), output),
                 "[sampling] positions must be INT32 [2]");
  EXPECT_INVALID(sampling(logits, good, ids_on(*device, 3)), "[sampling] output must be INT32 [1, 1, 2]");
  EXPECT_INVALID(sampling(logits, good, Tensor()), "received none");
}

} // namespace
} // namespace tessera::ops
