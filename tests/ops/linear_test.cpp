#include "tessera/ops/matmul/linear.hpp"

#include "tessera/metrics/comparison.hpp"
#include "tessera/ops/matmul/row_blocks.hpp"
#include "tests/ops/ops_fixture.hpp"

namespace tessera::ops {
namespace {

/// a [.., M, K] x w [.., K, N] + bias in double. An fp32 sum of K products in any order is within K half ulps of the
/// sum of magnitudes (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1); two more for the bias.
std::vector<Expected> reference(const HostTensor& a, const HostTensor& w, const HostTensor* bias) {
  const std::int64_t rows = a.shape[-2];
  const std::int64_t depth = a.shape[-1];
  const std::int64_t columns = w.shape[-1];
  std::vector<Expected> result;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      double sum = bias == nullptr ? 0 : bias->data[static_cast<std::size_t>(j)];
      double magnitude = std::fabs(sum);
      for (std::int64_t k = 0; k < depth; ++k) {
        const double product = double{a.row(i)[static_cast<std::size_t>(k)]} * w.row(k)[static_cast<std::size_t>(j)];
        sum += product;
        magnitude += std::fabs(product);
      }
      result.push_back({sum, static_cast<double>(depth + 2) * kHalfUlp * magnitude});
    }
  }
  return result;
}

struct Formats {
  DataType input;
  DataType weight;
  DataType output;
};
std::string formats_name(const testing::TestParamInfo<Formats>& test) {
  const auto& [input, weight, output] = test.param;
  return fmt::format("{}x{}to{}", to_string(input), to_string(weight), to_string(output));
}
class LinearOfFormats : public OpsTest, public testing::WithParamInterface<Formats> {
 protected:
  /// HiFi2: exact products for any number of rows.
  static constexpr ComputeConfig kExact{.math_fidelity = MathFidelity::HiFi2};
};
INSTANTIATE_TEST_SUITE_P(Formats, LinearOfFormats,
                         testing::Values(Formats{DataType::FLOAT32, DataType::FLOAT32, DataType::FLOAT32},
                                         Formats{DataType::FLOAT32, DataType::BFLOAT16, DataType::FLOAT32},
                                         Formats{DataType::BFLOAT16, DataType::BFLOAT16, DataType::BFLOAT16},
                                         Formats{DataType::BFLOAT16, DataType::BFLOAT8_B, DataType::BFLOAT16},
                                         Formats{DataType::BFLOAT16, DataType::BFLOAT4_B, DataType::BFLOAT16},
                                         Formats{DataType::BFLOAT16, DataType::BFLOAT2_B, DataType::BFLOAT16},
                                         Formats{DataType::BFLOAT8_B, DataType::BFLOAT8_B, DataType::BFLOAT8_B},
                                         Formats{DataType::BFLOAT16, DataType::FLOAT32, DataType::BFLOAT4_B}),
                         formats_name);

TEST_P(LinearOfFormats, AgreesWithDoublePrecision) {
  struct Extents {
    std::int64_t m, k, n;
  };
  for (const auto& [m, k, n] :
       {Extents{1, 32, 32}, {1, 100, 70}, {5, 8, 33}, {32, 96, 64}, {33, 40, 100}, {70, 1, 1}}) {
    const HostTensor a = random_values({1, 1, m, k}, 1);
    const HostTensor w = random_values({1, 1, k, n}, 2);
    const HostTensor b = random_values({1, 1, 1, n}, 3);
    const Tensor device_a = upload(a, GetParam().input);
    const Tensor device_w = upload(w, GetParam().weight);
    const HostTensor stored_a = rounded(a, GetParam().input);
    const HostTensor stored_w = rounded(w, GetParam().weight);
    const Tensor plain = linear(device_a, device_w, {.dtype = GetParam().output, .compute_kernel_config = kExact});
    EXPECT_EQ(plain.shape(), (Shape{1, 1, m, n}));
    expect_close(to_host(plain), reference(stored_a, stored_w, nullptr), GetParam().output);
    expect_zero_padding(plain);
    const Tensor with_bias =
        linear(device_a, device_w,
               {.bias = upload(b, DataType::BFLOAT16), .dtype = GetParam().output, .compute_kernel_config = kExact});
    const HostTensor stored_b = rounded(b, DataType::BFLOAT16);
    expect_close(to_host(with_bias), reference(stored_a, stored_w, &stored_b), GetParam().output);
    expect_zero_padding(with_bias);
  }
}

TEST_P(LinearOfFormats, ARowHasTheSameBitsAloneAndAmongOthers) {
  const HostTensor all = random_values({1, 1, 70, 200}, 4);
  const Tensor w = random({1, 1, 200, 96}, 5, GetParam().weight);
  const auto rows = [&](std::int64_t first, std::int64_t count) {
    const auto* from = all.data.data() + first * 200;
    const HostTensor part{{1, 1, count, 200}, {from, from + count * 200}};
    return to_host(
        linear(upload(part, GetParam().input), w, {.dtype = GetParam().output, .compute_kernel_config = kExact}));
  };
  const HostTensor together = rows(0, 70);
  for (const std::int64_t count : {1, 2, 7, 31, 32}) {
    const HostTensor some = rows(3, count);
    for (std::int64_t row = 0; row < count; ++row) {
      const auto expected = together.row(3 + row);
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), some.row(row).begin())) << row << " of " << count;
    }
  }
}

TEST_P(LinearOfFormats, GivesTheSameBitsWithOneThreadAndTwo) {
  std::vector<std::vector<std::uint32_t>> results;
  for (const int threads : {1, 2}) {
    const auto other = runtime::MeshDevice::open({.threads = threads});
    const Tensor a = to_device(*other, random_values({1, 1, 33, 300}, 6), GetParam().input);
    const Tensor w = to_device(*other, random_values({1, 1, 300, 200}, 7), GetParam().weight);
    results.push_back(bits_of(to_host(linear(a, w, {.dtype = GetParam().output}))));
  }
  EXPECT_EQ(results[0], results[1]);
}

class LinearTest : public OpsTest {
 protected:
  /// [m, 256] x [256, 96] in BFLOAT4_B at LoFi, as fp32.
  HostTensor lofi(const HostTensor& a) {
    return to_host(linear(upload(a, DataType::BFLOAT16), random({1, 1, 256, 96}, 9, DataType::BFLOAT4_B),
                          {.dtype = DataType::FLOAT32}));
  }
};

TEST_F(LinearTest, RowsOfSeveralBlocksHaveTheBitsThatTheyHaveAlone) {
  const HostTensor a = random_values({1, 1, 900, 544}, 1);
  const Tensor weight = upload(random_values({1, 1, 544, 70}, 2), DataType::BFLOAT8_B);
  const Tensor bias = upload(random_values({1, 1, 1, 70}, 3), DataType::BFLOAT16);
  const HostTensor all = to_host(linear(upload(a, DataType::BFLOAT16), weight, {.bias = bias}));
  for (const std::int64_t row : {0, 447, 448, 479, 480, 899}) {
    const HostTensor one{{1, 1, 1, 544}, {a.row(row).begin(), a.row(row).end()}};
    const HostTensor alone = to_host(linear(upload(one, DataType::BFLOAT16), weight, {.bias = bias}));
    ASSERT_TRUE(std::ranges::equal(alone.row(0), all.row(row))) << row;
  }
}

TEST(RowBlocks, TakeAllRowsInWholeTiles) {
  for (const std::int64_t rows : {1, 32, 49, 95, 192, 196, 197, 392, 1576, 25088}) {
    for (const std::int64_t row_bytes : {128, 1600, 6208, 100000}) {
      const RowBlocks blocks(rows, row_bytes, {.least = 96, .most = 256});
      EXPECT_EQ(blocks.begin(0), 0);
      EXPECT_EQ(blocks.begin(blocks.count), rows);
      for (std::int64_t number = 0; number < blocks.count; ++number) {
        EXPECT_EQ(blocks.begin(number) % kTileHeight, 0);
        EXPECT_GT(blocks.rows_of(number), 0);
        EXPECT_LE(blocks.rows_of(number), 256 + kTileHeight);
        if (blocks.count > 1) {
          EXPECT_GE(blocks.rows_of(number), 64) << rows << " rows of " << row_bytes;
        }
      }
    }
  }
}

TEST(RowBlocks, AreAsManyForOneThreadAsForAnother) {
  const RowBlocks blocks(3136, 1216, {.least = 96, .most = 256});
  EXPECT_EQ(blocks.count, 13);
  EXPECT_EQ(blocks.shared_by(1).count, 13);
  EXPECT_EQ(blocks.shared_by(2).count, 14);
  EXPECT_EQ(blocks.shared_by(2).begin(14), 3136);
  EXPECT_EQ(blocks.shared_by(16).count, 13);                                          // fewer than threads
  EXPECT_EQ(RowBlocks(100, 100000, {.least = 32, .most = 32}).shared_by(3).count, 4); // no more than tiles
}

TEST_F(LinearTest, LofiIsNearTheExactProducts) {
  const HostTensor stored_w = rounded(random_values({1, 1, 256, 96}, 9), DataType::BFLOAT4_B);
  for (const std::int64_t rows : {1, 32, 33, 70}) {
    const HostTensor a = random_values({1, 1, rows, 256}, 8);
    std::vector<float> exact;
    for (const Expected& value : reference(rounded(a, DataType::BFLOAT16), stored_w, nullptr))
      exact.push_back(static_cast<float>(value.value));
    const double error = metrics::relative_frobenius_error(exact, lofi(a).data);
    EXPECT_LT(error, 0.01) << rows;
    if (rows >= kernels::kernels().int8_least_rows) {
      EXPECT_GT(error, 1e-4) << rows << ": not the products of integers";
    }
  }
}

TEST_F(LinearTest, ALofiRowHasTheSameBitsInADecodeStepOfAnySizeAndInALongerPrompt) {
  const HostTensor all = random_values({1, 1, 70, 256}, 8);
  const auto first = [&](std::int64_t rows) {
    return lofi({{1, 1, rows, 256}, {all.data.begin(), all.data.begin() + rows * 256}}).data;
  };
  const std::vector<float> step = first(32);
  const std::vector<float> prompt = first(70);
  for (const std::int64_t rows : {1, 2, 3, 4, 5, 31, 33, 50}) {
    const std::vector<float> some = first(rows);
    EXPECT_TRUE(std::equal(some.begin(), some.end(), rows <= 32 ? step.begin() : prompt.begin())) << rows;
  }
}

TEST_F(LinearTest, AppliesAnActivationBeforeItRounds) {
  const Tensor a = random({1, 1, 70, 64}, 1);
  const Tensor w = random({1, 1, 64, 40}, 2);
  const Tensor bias = random({1, 1, 1, 40}, 3);
  HostTensor expected = to_host(linear(a, w, {.bias = bias, .dtype = DataType::FLOAT32}));
  for (float& value : expected.data) value = std::max(value, 0.0F);
  const Tensor output = linear(a, w, {.bias = bias, .activation = Activation::RELU});
  EXPECT_EQ(bits_of(to_host(output)), bits_of(rounded(expected, DataType::BFLOAT16)));
  expect_zero_padding(output);
}

TEST_F(LinearTest, KeepsTheInputsPlaceUnlessToldOtherwise) {
  const Tensor a = upload(random_values({1, 1, 1, 32}, 1), DataType::BFLOAT16, kL1Interleaved);
  const Tensor w = random({1, 1, 32, 32}, 2);
  EXPECT_EQ(linear(a, w, {}).memory_config(), kL1Interleaved);
  EXPECT_EQ(linear(a, w, {.memory_config = kDramInterleaved}).memory_config(), kDramInterleaved);
}

TEST_F(LinearTest, RefusesOperandsThatDoNotFit) {
  const Tensor a = random({1, 1, 4, 64}, 1);
  const Tensor w = random({1, 1, 64, 32}, 2);
  EXPECT_INVALID(linear(a, random({1, 1, 32, 64}, 1), {}), "[linear] the last extent of input_tensor_a must equal");
  EXPECT_INVALID(linear(random({1, 2, 4, 64}, 1), w, {}), "[linear] one matrix each is required");
  EXPECT_INVALID(linear(a, random({1, 2, 64, 32}, 1), {}), "[linear] one matrix each is required");
  EXPECT_INVALID(linear(a, Tensor(), {}), "[linear] weight must be a floating-point tensor");
  EXPECT_INVALID(linear(Tensor(), w, {}), "[linear] input_tensor_a must be a floating-point tensor");
  EXPECT_INVALID(linear(integers_to_device(*device, {1, 64}, std::vector<std::int32_t>(64)), w, {}),
                 "received INT32 [1, 64] ROW_MAJOR");
  EXPECT_INVALID(linear(a, w, {.bias = random({1, 1, 1, 64}, 1)}), "[linear] bias must have the shape [1, 1, 1, 32]");
  EXPECT_INVALID(linear(a, w, {.dtype = DataType::INT32}), "[linear] dtype must be a floating-point format");
  const auto other = runtime::MeshDevice::open({.threads = 1});
  EXPECT_INVALID(linear(a, to_device(*other, random_values({1, 1, 64, 32}, 1), DataType::BFLOAT16), {}),
                 "[linear] all tensors must lie on one device; weight lies on another");
}

} // namespace
} // namespace tessera::ops
