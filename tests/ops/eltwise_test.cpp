#include "tessera/ops/eltwise/binary.hpp"
#include "tessera/ops/eltwise/unary.hpp"
#include "tests/ops/ops_fixture.hpp"

namespace tessera::ops {
namespace {

const std::vector<Shape> kShapes = {{1, 1, 1, 8}, {1, 1, 32, 64}, {1, 1, 5, 33}, {2, 3, 33, 40}, {40, 70}};

template <typename Function>
HostTensor elementwise(const HostTensor& a, const HostTensor& b, Function&& function) {
  HostTensor result = a;
  for (std::size_t i = 0; i < a.data.size(); ++i) result.data[i] = function(a.data[i], b.data[i]);
  return result;
}

class EltwiseOfFormat : public OpsTest, public testing::WithParamInterface<DataType> {};
INSTANTIATE_TEST_SUITE_P(Formats, EltwiseOfFormat, kFloatFormats, test::dtype_name);

// One fp32 operation, which IEEE rounds to nearest, then one rounding to the format: nothing is left to a tolerance.
TEST_P(EltwiseOfFormat, SumsAndProductsAreExactBitForBit) {
  for (const Shape& shape : kShapes) {
    const HostTensor a = random_values(shape, 1);
    const HostTensor b = random_values(shape, 2);
    const HostTensor stored_a = rounded(a, GetParam());
    const HostTensor stored_b = rounded(b, GetParam());
    const Tensor device_a = upload(a, GetParam());
    const Tensor device_b = upload(b, GetParam());
    const Tensor sum = add(device_a, device_b);
    const Tensor product = mul(device_a, device_b);
    EXPECT_EQ(sum.dtype(), GetParam());
    EXPECT_EQ(bits_of(to_host(sum)), bits_of(rounded(elementwise(stored_a, stored_b, std::plus<>()), GetParam())))
        << shape;
    EXPECT_EQ(bits_of(to_host(product)),
              bits_of(rounded(elementwise(stored_a, stored_b, std::multiplies<>()), GetParam())))
        << shape;
    expect_zero_padding(sum);
    expect_zero_padding(product);
  }
}

TEST_P(EltwiseOfFormat, SiluGateAgreesWithDoublePrecision) {
  for (const Shape& shape : kShapes) {
    const HostTensor a = random_values(shape, 3, 4.0F);
    const HostTensor b = random_values(shape, 4);
    const HostTensor stored_a = rounded(a, GetParam());
    const HostTensor stored_b = rounded(b, GetParam());
    std::vector<Expected> expected;
    for (std::size_t i = 0; i < a.data.size(); ++i) {
      const double x = stored_a.data[i];
      const double value = x / (1.0 + std::exp(-x)) * stored_b.data[i];
      // Four roundings and an exp within 2 ulps; its argument is exact.
      expected.push_back({value, 16 * kHalfUlp * std::fabs(value)});
    }
    const Tensor gated = mul(upload(a, GetParam()), upload(b, GetParam()),
                             {.input_tensor_a_activation = Activation::SILU, .dtype = DataType::FLOAT32});
    expect_close(to_host(gated), expected, DataType::FLOAT32);
    expect_zero_padding(gated);
  }
}

/// GELU in double precision, and the error that tessera/kernels states for it.
Expected naive_gelu(double x, bool by_tanh) {
  if (!by_tanh) {
    const double value = 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    return {value, 10 * kHalfUlp * std::fabs(value)};
  }
  const double u = std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x);
  return {0.5 * x * (1.0 + std::tanh(u)), 0x1p-22 * std::fabs(x)};
}

TEST_P(EltwiseOfFormat, GeluAgreesWithDoublePrecision) {
  for (const Shape& shape : kShapes) {
    const HostTensor x = random_values(shape, 5, 2.0F);
    const Tensor input = upload(x, GetParam());
    for (const bool by_tanh : {false, true}) {
      std::vector<Expected> expected;
      for (const float value : rounded(x, GetParam()).data) expected.push_back(naive_gelu(value, by_tanh));
      const Tensor wide = gelu(input, {.fast_and_approximate_mode = by_tanh, .dtype = DataType::FLOAT32});
      expect_close(to_host(wide), expected, DataType::FLOAT32);
      expect_zero_padding(wide);
      const Tensor y = gelu(input, {.fast_and_approximate_mode = by_tanh});
      EXPECT_EQ(bits_of(to_host(y)), bits_of(rounded(to_host(wide), GetParam())));
      expect_zero_padding(y);
    }
  }
}

TEST_P(EltwiseOfFormat, AGateByGeluIsTheProductWithGelu) {
  for (const Shape& shape : kShapes) {
    const Tensor a = upload(random_values(shape, 3, 2.0F), GetParam());
    const Tensor b = upload(random_values(shape, 4), GetParam());
    for (const bool by_tanh : {false, true}) {
      const Tensor gated = mul(a, b, {.input_tensor_a_activation = by_tanh ? Activation::GELU_TANH : Activation::GELU});
      const Tensor wide = gelu(a, {.fast_and_approximate_mode = by_tanh, .dtype = DataType::FLOAT32});
      EXPECT_EQ(bits_of(to_host(gated)), bits_of(to_host(mul(wide, b, {.dtype = GetParam()}))));
      expect_zero_padding(gated);
    }
  }
}

TEST_P(EltwiseOfFormat, ScalesByANumberAndCapsSoftly) {
  for (const Shape& shape : kShapes) {
    const HostTensor x = random_values(shape, 6, 20.0F);
    const HostTensor stored = rounded(x, GetParam());
    HostTensor scaled = stored;
    std::vector<Expected> capped;
    std::vector<Expected> tangents;
    for (float& value : scaled.data) {
      tangents.push_back({std::tanh(double{value}), 0x1p-22});
      capped.push_back({30.0 * std::tanh(double{value} / 30.0), 30.0 * 0x1p-22});
      value *= 0.37F;
    }
    const Tensor product = mul(upload(x, GetParam()), 0.37F);
    EXPECT_EQ(bits_of(to_host(product)), bits_of(rounded(scaled, GetParam()))) << shape;
    expect_zero_padding(product);
    const Tensor within = softcap(upload(x, GetParam()), 30.0F);
    expect_close(to_host(within), capped, GetParam());
    expect_zero_padding(within);
    expect_close(to_host(tanh(upload(x, GetParam()))), tangents, GetParam());
  }
}

using EltwiseTest = OpsTest;

TEST_F(EltwiseTest, RefusesACapThatIsNotPositive) {
  EXPECT_INVALID(softcap(random({1, 1, 4, 64}, 1), 0.0F), "[softcap] cap must be positive; received 0");
}

TEST_F(EltwiseTest, RowsOfASmallerSummandRepeat) {
  const HostTensor a = random_values({1, 1, 3 * 37, 50}, 1);
  const HostTensor b = random_values({1, 1, 37, 50}, 2);
  HostTensor expected = a;
  for (std::size_t i = 0; i < expected.data.size(); ++i) expected.data[i] += b.data[i % b.data.size()];
  const Tensor sum = add(upload(a, DataType::FLOAT32), upload(b, DataType::FLOAT32));
  EXPECT_EQ(to_host(sum).data, expected.data);
  expect_zero_padding(sum);
}

TEST_F(EltwiseTest, TheTwoFormsOfGeluDiffer) {
  const Tensor x = upload({{1, 2}, {2.0F, -2.0F}}, DataType::FLOAT32);
  EXPECT_NEAR(to_host(gelu(x)).data[1], -0.0455003, 1e-7);
  EXPECT_NEAR(to_host(gelu(x, {.fast_and_approximate_mode = true})).data[1], -0.0454023, 1e-7);
}

TEST_F(EltwiseTest, RefusesWhatGeluCannotTake) {
  EXPECT_INVALID(gelu(Tensor()), "[gelu] input_tensor must be a floating-point tensor");
  EXPECT_INVALID(gelu(random({1, 1, 4, 64}, 1), {.dtype = DataType::UINT32}), "[gelu] dtype must be");
}

TEST_F(EltwiseTest, SiluOfLargeArgumentsIsTheArgumentOrZero) {
  const HostTensor a{{1, 4}, {200.0F, -200.0F, 0.0F, 1e30F}};
  const HostTensor one{{1, 4}, {1.0F, 1.0F, 1.0F, 1.0F}};
  const HostTensor gated = to_host(mul(upload(a, DataType::FLOAT32), upload(one, DataType::FLOAT32),
                                       {.input_tensor_a_activation = Activation::SILU}));
  EXPECT_EQ(gated.data[0], 200.0F);
  EXPECT_NEAR(gated.data[1], 0.0F, 1e-30F);
  EXPECT_EQ(gated.data[2], 0.0F);
  EXPECT_EQ(gated.data[3], 1e30F);
}

TEST_F(EltwiseTest, OutputsMayDifferInFormatAndPlace) {
  const HostTensor a = random_values({1, 1, 3, 40}, 1);
  const HostTensor b = random_values({1, 1, 3, 40}, 2);
  const Tensor sum = add(upload(a, DataType::BFLOAT16), upload(b, DataType::FLOAT32),
                         {.dtype = DataType::BFLOAT8_B, .memory_config = kL1Interleaved});
  EXPECT_EQ(sum.memory_config(), kL1Interleaved);
  const HostTensor expected = elementwise(rounded(a, DataType::BFLOAT16), b, std::plus<>());
  EXPECT_EQ(bits_of(to_host(sum)), bits_of(rounded(expected, DataType::BFLOAT8_B)));
}

TEST_F(EltwiseTest, GivesTheSameBitsWithOneThreadAndTwo) {
  std::vector<std::vector<std::uint32_t>> results;
  for (const int threads : {1, 2}) {
    const auto other = runtime::MeshDevice::open({.threads = threads});
    const Tensor a = to_device(*other, random_values({1, 2, 70, 100}, 6), DataType::BFLOAT16);
    const Tensor b = to_device(*other, random_values({1, 2, 70, 100}, 7), DataType::BFLOAT16);
    results.push_back(bits_of(to_host(mul(a, b, {.input_tensor_a_activation = Activation::SILU}))));
  }
  EXPECT_EQ(results[0], results[1]);
}

TEST_F(EltwiseTest, RefusesOperandsThatDoNotFit) {
  const Tensor a = random({1, 1, 4, 64}, 1);
  EXPECT_INVALID(add(a, random({1, 1, 4, 32}, 1)), "[add] input_tensor_b must have the shape [1, 1, 4, 64]");
  EXPECT_INVALID(mul(a, Tensor()), "[mul] input_tensor_b must be a floating-point tensor");
  EXPECT_INVALID(mul(Tensor(), a), "[mul] input_tensor_a must be a floating-point tensor");
  EXPECT_INVALID(add(a, a, {.dtype = DataType::UINT32}),
                 "[add] dtype must be a floating-point format; received UINT32");
  const auto other = runtime::MeshDevice::open({.threads = 1});
  EXPECT_INVALID(add(a, to_device(*other, random_values({1, 1, 4, 64}, 1), DataType::BFLOAT16)),
                 "[add] all tensors must lie on one device");
}

} // namespace
} // namespace tessera::ops
