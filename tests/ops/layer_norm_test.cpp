#include "tessera/ops/normalization/layer_norm.hpp"

#include "tests/ops/naive_norms.hpp"

namespace tessera::ops {
namespace {

class LayerNormOfFormat : public OpsTest, public testing::WithParamInterface<DataType> {};
INSTANTIATE_TEST_SUITE_P(Formats, LayerNormOfFormat, kFloatFormats, test::dtype_name);

TEST_P(LayerNormOfFormat, AgreesWithDoublePrecision) {
  for (const Shape& shape : {Shape{1, 1, 1, 8}, {1, 1, 32, 64}, {1, 1, 7, 100}, {1, 3, 33, 40}, {5, 33}}) {
    const HostTensor x = random_values(shape, 1);
    const HostTensor weight = random_values({1, 1, 1, shape[-1]}, 2);
    const HostTensor bias = random_values({1, 1, 1, shape[-1]}, 3);
    const Tensor y = layer_norm(
        upload(x, GetParam()),
        {.epsilon = 1e-3F, .weight = upload(weight, DataType::BFLOAT16), .bias = upload(bias, DataType::BFLOAT16)});
    EXPECT_EQ(y.dtype(), GetParam());
    expect_close(to_host(y),
                 naive_layer_norm(rounded(x, GetParam()), rounded(weight, DataType::BFLOAT16),
                                  rounded(bias, DataType::BFLOAT16), 1e-3F),
                 GetParam());
    expect_zero_padding(y);
  }
}

class LayerNormTest : public OpsTest {
 protected:
  static HostTensor constant(const Shape& shape, float value) {
    return {shape, std::vector<float>(static_cast<std::size_t>(shape.volume()), value)};
  }
};

TEST_F(LayerNormTest, WeightAndBiasMayBeAbsent) {
  const HostTensor x = random_values({1, 1, 5, 70}, 1);
  const HostTensor ones = constant({1, 1, 1, 70}, 1.0F);
  const HostTensor zeros = constant({1, 1, 1, 70}, 0.0F);
  const HostTensor weight = random_values({1, 1, 1, 70}, 2);
  const Tensor input = upload(x, DataType::FLOAT32);
  expect_close(to_host(layer_norm(input, {})), naive_layer_norm(x, ones, zeros, 1e-5F), DataType::FLOAT32);
  expect_close(to_host(layer_norm(input, {.weight = upload(weight, DataType::FLOAT32)})),
               naive_layer_norm(x, weight, zeros, 1e-5F), DataType::FLOAT32);
  expect_close(to_host(layer_norm(input, {.bias = upload(weight, DataType::FLOAT32)})),
               naive_layer_norm(x, ones, weight, 1e-5F), DataType::FLOAT32);
}

TEST_F(LayerNormTest, AMeanOfManyDeviationsCostsNoPrecision) {
  // In fp32 the squares of these values would drown the deviations: 2^-24 of 1e8 is 6.
  HostTensor x = random_values({1, 1, 4, 500}, 1);
  for (float& value : x.data) value += 10000.0F;
  const HostTensor weight = random_values({1, 1, 1, 500}, 2);
  const HostTensor bias = random_values({1, 1, 1, 500}, 3);
  const Tensor y = layer_norm(upload(x, DataType::FLOAT32),
                              {.weight = upload(weight, DataType::FLOAT32), .bias = upload(bias, DataType::FLOAT32)});
  expect_close(to_host(y), naive_layer_norm(x, weight, bias, 1e-5F), DataType::FLOAT32);
}

TEST_F(LayerNormTest, ARowOfEqualValuesGivesTheBias) {
  const HostTensor bias = random_values({1, 1, 1, 40}, 1);
  const HostTensor y = to_host(layer_norm(upload(constant({1, 1, 3, 40}, 0.1F), DataType::FLOAT32),
                                          {.epsilon = 1e-5F, .bias = upload(bias, DataType::FLOAT32)}));
  for (std::int64_t row = 0; row < 3; ++row) {
    for (std::size_t i = 0; i < 40; ++i) EXPECT_FLOAT_EQ(y.row(row)[i], bias.data[i]);
  }
}

TEST_F(LayerNormTest, ARowHasTheSameBitsAloneAndAmongOthers) {
  const HostTensor all = random_values({1, 1, 32, 100}, 3);
  const LayerNormOptions options{.weight = random({1, 1, 1, 100}, 4), .dtype = DataType::FLOAT32};
  const HostTensor together = to_host(layer_norm(upload(all, DataType::BFLOAT16), options));
  for (const std::int64_t row : {0, 5, 31}) {
    const HostTensor one{{1, 1, 1, 100}, {all.row(row).begin(), all.row(row).end()}};
    const HostTensor alone = to_host(layer_norm(upload(one, DataType::BFLOAT16), options));
    EXPECT_TRUE(std::equal(alone.data.begin(), alone.data.end(), together.row(row).begin())) << row;
  }
}

TEST_F(LayerNormTest, RefusesParametersThatDoNotFit) {
  const Tensor x = random({1, 1, 4, 64}, 1);
  EXPECT_INVALID(layer_norm(x, {.weight = random({1, 1, 1, 32}, 1)}),
                 "[layer_norm] weight must have the shape [1, 1, 1, 64]");
  EXPECT_INVALID(layer_norm(x, {.bias = random({1, 64}, 1)}), "[layer_norm] bias must have the shape [1, 1, 1, 64]");
  EXPECT_INVALID(layer_norm(Tensor(), {}), "[layer_norm] input_tensor must be");
  EXPECT_INVALID(layer_norm(x, {.dtype = DataType::INT32}), "[layer_norm] dtype must be");
  const auto other = runtime::MeshDevice::open({.threads = 1});
  EXPECT_INVALID(layer_norm(x, {.weight = to_device(*other, random_values({1, 1, 1, 64}, 1), DataType::BFLOAT16)}),
                 "[layer_norm] all tensors must lie on one device; weight lies on another");
}

} // namespace
} // namespace tessera::ops
