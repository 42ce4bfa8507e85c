#include "tessera/ops/transformer/attention.hpp"
#include "tests/ops/naive_attention.hpp"

namespace tessera::ops {
namespace {

struct Case {
  std::int64_t heads, kv_heads, length, head_dim, window;
};

std::vector<Expected> reference(const HostTensor& q, const HostTensor& k, const HostTensor& v, const Case& c,
                                double scale, double weight_error = 0) {
  std::vector<Expected> result;
  for (std::int64_t head = 0; head < c.heads; ++head) {
    const std::int64_t kv_head = head / (c.heads / c.kv_heads);
    for (std::int64_t i = 0; i < c.length; ++i) {
      std::vector<std::span<const float>> keys;
      std::vector<std::span<const float>> values;
      for (std::int64_t j = c.window == 0 ? 0 : std::max<std::int64_t>(0, i - c.window + 1); j <= i; ++j) {
        keys.push_back(k.row(kv_head * c.length + j));
        values.push_back(v.row(kv_head * c.length + j));
      }
      naive_attention(q.row(head * c.length + i), keys, values, scale, result, weight_error);
    }
  }
  return result;
}

class PrefillAttentionOfFormat : public OpsTest, public testing::WithParamInterface<DataType> {};
INSTANTIATE_TEST_SUITE_P(Formats, PrefillAttentionOfFormat,
                         testing::Values(DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B), test::dtype_name);

TEST_P(PrefillAttentionOfFormat, AgreesWithDoublePrecision) {
  for (const Case& c : {Case{1, 1, 1, 8, 0},
                        {2, 2, 31, 16, 0},
                        {4, 2, 32, 64, 0},
                        {6, 2, 33, 40, 0},
                        {2, 1, 100, 8, 0},
                        {4, 4, 70, 24, 0},
                        {3, 1, 300, 80, 0},
                        {2, 2, 290, 16, 0},
                        {71, 1, 40, 64, 0},
                        {12, 1, 65, 256, 0}}) {
    const Shape q_shape{1, c.heads, c.length, c.head_dim};
    const Shape kv_shape{1, c.kv_heads, c.length, c.head_dim};
    const HostTensor q = random_values(q_shape, 1);
    const HostTensor k = random_values(kv_shape, 2);
    const HostTensor v = random_values(kv_shape, 3);
    const float scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim));
    const Tensor output = scaled_dot_product_attention(upload(q, GetParam()), upload(k, GetParam()),
                                                       upload(v, GetParam()), {.scale = scale});
    EXPECT_EQ(output.spec(), (TensorSpec{q_shape, GetParam(), Layout::TILE, kDramInterleaved}));
    expect_close(to_host(output),
                 reference(rounded(q, GetParam()), rounded(k, GetParam()), rounded(v, GetParam()), c, scale,
                           weight_error_of(GetParam(), GetParam())),
                 GetParam());
    expect_zero_padding(output);
  }
}

TEST_P(PrefillAttentionOfFormat, CapsScoresAndAddsWhatBelongsToAKey) {
  const std::int64_t heads = 6;
  const std::int64_t length = 150;
  const HostTensor q = random_values({1, heads, length, 24}, 1, 3.0F);
  const HostTensor k = random_values({1, 2, length, 24}, 2, 3.0F);
  const HostTensor v = random_values({1, 2, length, 24}, 3);
  const HostTensor bias = random_values({1, 1, heads, 160}, 4, 2.0F);
  const Tensor on_device = tensor::from_host(
      *device, tensor::rows_of(bias), {bias.shape, DataType::FLOAT32, Layout::ROW_MAJOR, kDramInterleaved}, "bias");
  for (const float softcap : {0.0F, 5.0F}) {
    for (const bool biased : {false, true}) {
      const Tensor output =
          scaled_dot_product_attention(upload(q, GetParam()), upload(k, GetParam()), upload(v, GetParam()),
                                       {.scale = 0.3F, .softcap = softcap, .key_bias = biased ? on_device : Tensor()});
      std::vector<Expected> expected;
      const HostTensor stored[] = {rounded(q, GetParam()), rounded(k, GetParam()), rounded(v, GetParam())};
      for (std::int64_t head = 0; head < heads; ++head) {
        for (std::int64_t i = 0; i < length; ++i) {
          std::vector<std::span<const float>> keys;
          std::vector<std::span<const float>> values;
          for (std::int64_t j = 0; j <= i; ++j) {
            keys.push_back(stored[1].row(head / 3 * length + j));
            values.push_back(stored[2].row(head / 3 * length + j));
          }
          naive_attention(stored[0].row(head * length + i), keys, values, 0.3F, expected,
                          weight_error_of(GetParam(), GetParam()), softcap, biased ? bias.row(head).data() : nullptr);
        }
      }
      expect_close(to_host(output), expected, GetParam());
    }
  }
}

TEST_P(PrefillAttentionOfFormat, AMaskTakesKeysOutOfEachSequence) {
  constexpr std::int64_t kHeads = 4;
  constexpr std::int64_t kLength = 197;
  constexpr float kMasked = -1e29F;
  // Kept keys of three sequences: all but a few at the start, the first ones alone, none: then all count alike.
  const auto kept = [](std::int64_t sequence, std::int64_t key) {
    return sequence == 0 ? key >= 140 : sequence == 1 && key < 5;
  };
  const HostTensor q = random_values({3, kHeads, kLength, 24}, 1);
  const HostTensor k = random_values({3, kHeads / 2, kLength, 24}, 2);
  const HostTensor v = random_values(k.shape, 3);
  const HostTensor stored_q = rounded(q, GetParam());
  const HostTensor stored_k = rounded(k, GetParam());
  const HostTensor stored_v = rounded(v, GetParam());
  HostTensor mask{{3, 1, 1, 224}, {}};
  for (std::int64_t i = 0; i < 3 * 224; ++i) mask.data.push_back(kept(i / 224, i % 224) ? 0.0F : kMasked);
  std::vector<Expected> expected;
  for (std::int64_t row = 0; row < 3 * kHeads * kLength; ++row) {
    const std::int64_t sequence = row / kLength / kHeads;
    std::vector<std::span<const float>> keys;
    std::vector<std::span<const float>> values;
    for (std::int64_t j = 0; j < kLength; ++j) {
      if (sequence < 2 && !kept(sequence, j)) continue;
      keys.push_back(stored_k.row(row / kLength / 2 * kLength + j));
      values.push_back(stored_v.row(row / kLength / 2 * kLength + j));
    }
    naive_attention(stored_q.row(row), keys, values, sequence < 2 ? 0.4F : 0.0F, expected,
                    weight_error_of(GetParam(), GetParam()));
  }
  const Tensor on_device = tensor::from_host(
      *device, tensor::rows_of(mask), {mask.shape, DataType::FLOAT32, Layout::ROW_MAJOR, kDramInterleaved}, "mask");
  const Tensor output =
      scaled_dot_product_attention(upload(q, GetParam()), upload(k, GetParam()), upload(v, GetParam()),
                                   {.scale = 0.4F, .attn_mask = on_device, .is_causal = false});
  expect_close(to_host(output), expected, GetParam());
}

TEST_P(PrefillAttentionOfFormat, OfABatchWithoutCausalityAttendsToAllOfItsSequence) {
  for (const std::int64_t length : {1, 31, 32, 33, 127, 128, 129, 197, 300}) {
    constexpr std::int64_t kHeads = 4;
    const Shape q_shape{2, kHeads, length, 24};
    const Shape kv_shape{2, kHeads / 2, length, 24};
    const HostTensor q = random_values(q_shape, 1);
    const HostTensor k = random_values(kv_shape, 2);
    const HostTensor v = random_values(kv_shape, 3);
    const HostTensor stored_q = rounded(q, GetParam());
    const HostTensor stored_k = rounded(k, GetParam());
    const HostTensor stored_v = rounded(v, GetParam());
    std::vector<Expected> expected;
    for (std::int64_t row = 0; row < 2 * kHeads * length; ++row) {
      std::vector<std::span<const float>> keys;
      std::vector<std::span<const float>> values;
      const std::int64_t matrix = row / length / 2; // two query heads to a KV head, all sequences counted
      for (std::int64_t j = 0; j < length; ++j) {
        keys.push_back(stored_k.row(matrix * length + j));
        values.push_back(stored_v.row(matrix * length + j));
      }
      naive_attention(stored_q.row(row), keys, values, 0.2, expected, weight_error_of(GetParam(), GetParam()));
    }
    const Tensor output = scaled_dot_product_attention(upload(q, GetParam()), upload(k, GetParam()),
                                                       upload(v, GetParam()), {.scale = 0.2F, .is_causal = false});
    EXPECT_EQ(output.shape(), q_shape);
    expect_close(to_host(output), expected, GetParam());
    expect_zero_padding(output);
  }
}

using PrefillAttentionTest = OpsTest;

TEST_F(PrefillAttentionTest, SlidingWindowsOfAnySize) {
  const HostTensor q = random_values({1, 2, 75, 16}, 1);
  const HostTensor k = random_values({1, 1, 75, 16}, 2);
  const HostTensor v = random_values({1, 1, 75, 16}, 3);
  const auto in_bf16 = [&](std::int64_t length, std::int64_t window) {
    const Case c{4, 2, length, 32, window};
    const HostTensor values[] = {rounded(random_values({1, 4, length, 32}, 1), DataType::BFLOAT16),
                                 rounded(random_values({1, 2, length, 32}, 2), DataType::BFLOAT16),
                                 rounded(random_values({1, 2, length, 32}, 3), DataType::BFLOAT16)};
    const HostTensor output = to_host(scaled_dot_product_attention(
        upload(values[0], DataType::BFLOAT16), upload(values[1], DataType::BFLOAT16),
        upload(values[2], DataType::BFLOAT16), {.scale = 0.25F, .sliding_window_size = window}));
    expect_close(
        output,
        reference(values[0], values[1], values[2], c, 0.25, weight_error_of(DataType::BFLOAT16, DataType::BFLOAT16)),
        DataType::BFLOAT16);
  };
  for (const std::int64_t window : {1, 2, 31, 33, 64, 127, 128, 129, 200, 289, 290, 1000}) in_bf16(290, window);
  for (const std::int64_t window : {1, 2, 5, 31, 32, 33, 64, 74, 75, 1000}) {
    const HostTensor output = to_host(
        scaled_dot_product_attention(upload(q, DataType::FLOAT32), upload(k, DataType::FLOAT32),
                                     upload(v, DataType::FLOAT32), {.scale = 0.25F, .sliding_window_size = window}));
    expect_close(output, reference(q, k, v, {2, 1, 75, 16, window}, 0.25), DataType::FLOAT32);
  }
}

TEST_F(PrefillAttentionTest, AWindowOfOneGivesTheValueItself) {
  const HostTensor v = random_values({1, 1, 40, 16}, 3);
  const HostTensor output = to_host(scaled_dot_product_attention(
      random({1, 1, 40, 16}, 1, DataType::FLOAT32), random({1, 1, 40, 16}, 2, DataType::FLOAT32),
      upload(v, DataType::FLOAT32), {.scale = 1.0F, .sliding_window_size = 1}));
  EXPECT_EQ(bits_of(output), bits_of(v));
}

TEST_F(PrefillAttentionTest, APositionDoesNotSeeTheFuture) {
  const auto run = [&](std::int64_t length) {
    const auto head = [&](std::uint32_t seed) {
      const HostTensor all = random_values({1, 1, 80, 16}, seed);
      const HostTensor part{{1, 1, length, 16}, {all.data.begin(), all.data.begin() + length * 16}};
      return upload(part, DataType::BFLOAT16);
    };
    return to_host(scaled_dot_product_attention(head(1), head(2), head(3), {.scale = 0.25F}));
  };
  const HostTensor whole = run(80);
  for (const std::int64_t length : {1, 31, 32, 33, 50}) {
    const HostTensor part = run(length);
    EXPECT_TRUE(std::equal(part.data.begin(), part.data.end(), whole.data.begin())) << length;
  }
}

TEST_F(PrefillAttentionTest, APositionDoesNotSeeANaNOfTheFuture) {
  HostTensor k = random_values({1, 1, 80, 16}, 2);
  HostTensor v = random_values({1, 1, 80, 16}, 3);
  const auto run = [&] {
    return to_host(scaled_dot_product_attention(random({1, 1, 80, 16}, 1), upload(k, DataType::BFLOAT16),
                                                upload(v, DataType::BFLOAT16), {.scale = 0.25F}));
  };
  const HostTensor clean = run();
  for (std::size_t d = 0; d < 16; ++d) k.data[41 * 16 + d] = v.data[41 * 16 + d] = std::nanf("");
  const HostTensor dirty = run();
  EXPECT_TRUE(std::equal(clean.data.begin(), clean.data.begin() + 41 * 16, dirty.data.begin()));
  EXPECT_TRUE(std::isnan(dirty.row(41)[0]));
}

TEST_F(PrefillAttentionTest, LargeScoresDoNotOverflow) {
  const HostTensor q = random_values({1, 1, 40, 16}, 1, 100.0F);
  const HostTensor k = random_values({1, 1, 40, 16}, 2, 100.0F);
  const HostTensor v = random_values({1, 1, 40, 16}, 3);
  const HostTensor output = to_host(scaled_dot_product_attention(
      upload(q, DataType::FLOAT32), upload(k, DataType::FLOAT32), upload(v, DataType::FLOAT32), {.scale = 1.0F}));
  for (const float value : output.data) ASSERT_TRUE(std::isfinite(value));
  expect_close(output, reference(q, k, v, {1, 1, 40, 16, 0}, 1.0), DataType::FLOAT32);
}

TEST_F(PrefillAttentionTest, GivesTheSameBitsWithAnyNumberOfThreads) {
  for (const std::int64_t window : {0, 150}) {
    std::vector<std::vector<std::uint32_t>> results;
    for (const int threads : {1, 2, 7}) {
      const auto other = runtime::MeshDevice::open({.threads = threads});
      const auto head = [&](std::int64_t heads, std::uint32_t seed) {
        return to_device(*other, random_values({1, heads, 400, 24}, seed), DataType::BFLOAT16);
      };
      results.push_back(bits_of(to_host(scaled_dot_product_attention(head(4, 1), head(2, 2), head(2, 3),
                                                                     {.scale = 0.2F, .sliding_window_size = window}))));
    }
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
  }
}

TEST_F(PrefillAttentionTest, RefusesOperandsThatDoNotFit) {
  const Tensor q = random({1, 4, 10, 16}, 1);
  const Tensor k = random({1, 2, 10, 16}, 2);
  const auto run = [](const Tensor& a, const Tensor& b, const Tensor& c, std::int64_t window = 0) {
    return scaled_dot_product_attention(a, b, c, {.sliding_window_size = window});
  };
  EXPECT_INVALID(run(q, random({1, 3, 10, 16}, 2), k), "the query heads must be a multiple of the KV heads");
  EXPECT_INVALID(run(q, random({1, 2, 11, 16}, 2), k), "k must have the shape [1, 2, 10, 16]");
  EXPECT_INVALID(run(q, k, random({1, 2, 11, 16}, 2)), "v must have the shape [1, 2, 10, 16]");
  EXPECT_INVALID(run(random({2, 4, 10, 16}, 1), k, k), "k must have the shape [2, 2, 10, 16]");
  EXPECT_INVALID(run(random({4, 16}, 1), k, k), "q [B, Hq, S, D] and k [B, Hkv, S, D] are required");
  EXPECT_INVALID(scaled_dot_product_attention(q, k, k, {.sliding_window_size = 3, .is_causal = false}),
                 "sliding_window_size must be 0 (none) where positions attend to all");
  EXPECT_INVALID(run(q, k, Tensor()), "v must be a floating-point tensor");
  EXPECT_INVALID(run(q, k, k, -1), "sliding_window_size must be 0 (none) or more; received -1");
  EXPECT_INVALID(scaled_dot_product_attention(q, k, k, {.softcap = -1.0F}), "softcap must be 0 (none) or more");
  EXPECT_INVALID(scaled_dot_product_attention(q, k, k, {.key_bias = random({1, 1, 4, 32}, 3)}),
                 "key_bias must be FLOAT32 in ROW_MAJOR, [1, 1, 4, 32 or more]");
  EXPECT_INVALID(scaled_dot_product_attention(q, k, k, {.attn_mask = random({1, 1, 1, 32}, 3), .is_causal = false}),
                 "attn_mask must be FLOAT32 in ROW_MAJOR, [1, 1, 1, 32 or more]");
  EXPECT_INVALID(scaled_dot_product_attention(q, k, k, {.attn_mask = random({1, 1, 1, 32}, 3)}),
                 "attn_mask stands alone: is_causal must be false");
}

} // namespace
} // namespace tessera::ops
