#include "tessera/ops/normalization/rms_norm.hpp"

#include "tests/ops/naive_norms.hpp"

namespace tessera::ops {
namespace {

class RmsNormOfFormat : public OpsTest, public testing::WithParamInterface<DataType> {};
INSTANTIATE_TEST_SUITE_P(Formats, RmsNormOfFormat, kFloatFormats, test::dtype_name);

TEST_P(RmsNormOfFormat, AgreesWithDoublePrecision) {
  for (const Shape& shape : {Shape{1, 1, 1, 8}, {1, 1, 32, 64}, {1, 1, 7, 100}, {1, 3, 33, 40}}) {
    const HostTensor x = random_values(shape, 1);
    const HostTensor weight = random_values({1, 1, 1, shape[-1]}, 2);
    const Tensor y = rms_norm(upload(x, GetParam()), upload(weight, DataType::BFLOAT16), {.epsilon = 1e-3F});
    EXPECT_EQ(y.dtype(), GetParam());
    expect_close(to_host(y), naive_rms_norm(rounded(x, GetParam()), rounded(weight, DataType::BFLOAT16), 1e-3F),
                 GetParam());
    expect_zero_padding(y);
  }
}

using RmsNormTest = OpsTest;

TEST_F(RmsNormTest, DividesByTheWidthAndNotByThePadding) {
  const Tensor ones = upload({{1, 1, 1, 33}, std::vector<float>(33, 1.0F)}, DataType::FLOAT32);
  const HostTensor y = to_host(rms_norm(ones, ones, {.epsilon = 0.0F}));
  for (const float value : y.data) EXPECT_FLOAT_EQ(value, 1.0F);
}

TEST_F(RmsNormTest, EpsilonKeepsARowOfZerosFinite) {
  const Tensor zeros = upload({{1, 1, 2, 40}, std::vector<float>(80, 0.0F)}, DataType::BFLOAT16);
  const HostTensor y = to_host(rms_norm(zeros, random({1, 1, 1, 40}, 1), {.epsilon = 1e-5F}));
  for (const float value : y.data) EXPECT_EQ(value, 0.0F);
}

TEST_F(RmsNormTest, ARowHasTheSameBitsAloneAndAmongOthers) {
  const HostTensor all = random_values({1, 1, 32, 100}, 3);
  const Tensor weight = random({1, 1, 1, 100}, 4);
  const HostTensor together = to_host(rms_norm(upload(all, DataType::BFLOAT16), weight, {.dtype = DataType::FLOAT32}));
  for (const std::int64_t row : {0, 5, 31}) {
    const HostTensor one{{1, 1, 1, 100}, {all.row(row).begin(), all.row(row).end()}};
    const HostTensor alone = to_host(rms_norm(upload(one, DataType::BFLOAT16), weight, {.dtype = DataType::FLOAT32}));
    EXPECT_TRUE(std::equal(alone.data.begin(), alone.data.end(), together.row(row).begin())) << row;
  }
}

TEST_F(RmsNormTest, RefusesAWeightThatDoesNotFit) {
  const Tensor x = random({1, 1, 4, 64}, 1);
  EXPECT_INVALID(rms_norm(x, random({1, 1, 1, 32}, 1), {}), "[rms_norm] weight must have the shape [1, 1, 1, 64]");
  EXPECT_INVALID(rms_norm(x, random({1, 64}, 1), {}), "[rms_norm] weight must have the shape [1, 1, 1, 64]");
  EXPECT_INVALID(rms_norm(x, Tensor(), {}), "[rms_norm] weight must be");
  EXPECT_INVALID(rms_norm(Tensor(), x, {}), "[rms_norm] input_tensor must be");
  EXPECT_INVALID(rms_norm(x, random({1, 1, 1, 64}, 1), {.dtype = DataType::INT32}), "[rms_norm] dtype must be");
}

} // namespace
} // namespace tessera::ops
