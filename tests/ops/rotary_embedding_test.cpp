#include "tessera/ops/transformer/rotary_embedding.hpp"

#include "tests/ops/ops_fixture.hpp"

namespace tessera::ops {
namespace {

/// Angles of `rows` positions, each at both places of its pair: [rows, D].
struct Angles {
  HostTensor cos;
  HostTensor sin;
};
Angles random_angles(const Shape& shape, std::uint32_t seed) {
  const HostTensor turns = random_values(shape, seed, 3.0F);
  Angles angles{turns, turns};
  for (std::size_t i = 0; i < turns.data.size(); ++i) {
    angles.cos.data[i] = std::cos(turns.data[i / 2 * 2]);
    angles.sin.data[i] = std::sin(turns.data[i / 2 * 2]);
  }
  return angles;
}

/// Each output is the sum of two products: three roundings of their magnitudes.
std::vector<Expected> reference(const HostTensor& x, const Angles& angles, bool decode) {
  const std::int64_t head_dim = x.shape[3];
  std::vector<Expected> result;
  for (std::int64_t row = 0; row < x.shape[1] * x.shape[2]; ++row) {
    const std::int64_t angle = decode ? row / x.shape[2] : row % x.shape[2];
    const auto values = x.row(row);
    for (std::size_t d = 0; d < static_cast<std::size_t>(head_dim); ++d) {
      const double straight = double{values[d]} * angles.cos.row(angle)[d];
      const double across = double{values[d ^ 1U]} * angles.sin.row(angle)[d] * (d % 2 == 0 ? -1 : 1);
      result.push_back({straight + across, 3 * kHalfUlp * (std::fabs(straight) + std::fabs(across))});
    }
  }
  return result;
}

class RotaryOfFormat : public OpsTest, public testing::WithParamInterface<DataType> {};
INSTANTIATE_TEST_SUITE_P(Formats, RotaryOfFormat,
                         testing::Values(DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B), test::dtype_name);

TEST_P(RotaryOfFormat, TurnsNeighboursByThePositionsAngle) {
  for (const std::int64_t head_dim : {8, 64, 40}) {
    for (const std::int64_t length : {1, 5, 33}) {
      for (const std::int64_t heads : {1, 3, 34}) {
        const Angles angles = random_angles({1, 1, length, head_dim}, 1);
        const Angles stored{rounded(angles.cos, GetParam()), rounded(angles.sin, GetParam())};
        const HostTensor x = random_values({1, heads, length, head_dim}, 2);
        const Tensor y = rotary_embedding_llama(upload(x, GetParam()), upload(angles.cos, GetParam()),
                                                upload(angles.sin, GetParam()), false);
        expect_close(to_host(y), reference(rounded(x, GetParam()), stored, false), GetParam());
        expect_zero_padding(y);
      }
    }
  }
}

TEST_P(RotaryOfFormat, GivesEachUserItsOwnAngleInDecode) {
  for (const std::int64_t head_dim : {8, 64, 40}) {
    for (const std::int64_t users : {1, 2, 32}) {
      const Angles angles = random_angles({1, users, 1, head_dim}, 3);
      const Angles stored{rounded(angles.cos, GetParam()), rounded(angles.sin, GetParam())};
      const HostTensor x = random_values({1, users, 5, head_dim}, 4);
      const Tensor y = rotary_embedding_llama(by_users(upload(x, GetParam())), by_users(upload(angles.cos, GetParam())),
                                              by_users(upload(angles.sin, GetParam())), true);
      EXPECT_EQ(y.memory_config().memory_layout, TensorMemoryLayout::HEIGHT_SHARDED);
      expect_close(to_host(y), reference(rounded(x, GetParam()), stored, true), GetParam());
      expect_zero_padding(y);
    }
  }
}

using RotaryTest = OpsTest;

TEST_F(RotaryTest, KeepsLengthsAndUndoesATurnBack) {
  const HostTensor x = random_values({1, 2, 3, 16}, 5);
  const Angles angles = random_angles({1, 1, 3, 16}, 6);
  Angles back = angles;
  for (float& value : back.sin.data) value = -value;
  const Tensor turned = rotary_embedding_llama(upload(x, DataType::FLOAT32), upload(angles.cos, DataType::FLOAT32),
                                               upload(angles.sin, DataType::FLOAT32), false);
  const HostTensor y = to_host(
      rotary_embedding_llama(turned, upload(back.cos, DataType::FLOAT32), upload(back.sin, DataType::FLOAT32), false));
  for (std::size_t i = 0; i < x.data.size(); ++i) EXPECT_NEAR(y.data[i], x.data[i], 2e-6);
}

TEST_F(RotaryTest, RefusesAnglesThatDoNotFit) {
  const Tensor x = random({1, 2, 3, 16}, 1);
  const Tensor angles = random({1, 1, 3, 16}, 2);
  EXPECT_INVALID(rotary_embedding_llama(x, angles, angles, true),
                 "[rotary_embedding_llama] cos must have the shape [1, 2, 1, 16]");
  EXPECT_INVALID(rotary_embedding_llama(x, angles, random({1, 1, 4, 16}, 2), false),
                 "[rotary_embedding_llama] sin must have the shape [1, 1, 3, 16]");
  EXPECT_INVALID(rotary_embedding_llama(random({1, 2, 3, 15}, 1), angles, angles, false), "with an even D");
  EXPECT_INVALID(rotary_embedding_llama(random({2, 2, 3, 16}, 1), angles, angles, false), "[1, H, S, D]");
  EXPECT_INVALID(rotary_embedding_llama(x, Tensor(), angles, false), "cos must be a floating-point tensor");
  const Tensor of_users = random({1, 2, 1, 16}, 2);
  EXPECT_INVALID(rotary_embedding_llama(by_users(x), by_users(of_users), of_users, true),
                 "[rotary_embedding_llama] sin must be HEIGHT_SHARDED");
}

} // namespace
} // namespace tessera::ops
