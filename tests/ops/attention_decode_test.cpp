#include "tessera/ops/transformer/attention.hpp"
#include "tests/ops/naive_attention.hpp"
#include "tests/ops/paged_caches.hpp"

namespace tessera::ops {
namespace {

/// Queries and caches of some users at some positions, all on the host.
struct DecodeCase {
  PagedLayout layout;
  std::int64_t heads = 1;
  std::vector<std::int32_t> positions;
  std::int64_t window = 0;
  float scale = 0.3F;
  float softcap = 0.0F;
  HostTensor q, k, v;
  HostTensor key_bias; // [1, 1, heads, positions], or none

  DecodeCase(PagedLayout paged, std::int64_t query_heads, std::vector<std::int32_t> at, std::int64_t window_size = 0)
      : layout(std::move(paged)),
        heads(query_heads),
        positions(std::move(at)),
        window(window_size),
        q(random_values({1, static_cast<std::int64_t>(positions.size()), heads, layout.head_dim}, 1)),
        k(random_values(layout.cache_shape(), 2)),
        v(random_values(layout.cache_shape(), 3)) {}

  std::int64_t users() const { return static_cast<std::int64_t>(positions.size()); }

  /// Idle users' rows are zero.
  std::vector<Expected> reference(DataType activation, DataType cache) const {
    const HostTensor stored_q = rounded(q, activation);
    const HostTensor stored_k = rounded(k, cache);
    const HostTensor stored_v = rounded(v, cache);
    std::vector<Expected> result;
    for (std::int64_t user = 0; user < users(); ++user) {
      const std::int64_t position = positions[static_cast<std::size_t>(user)];
      for (std::int64_t head = 0; head < heads; ++head) {
        std::vector<std::span<const float>> keys;
        std::vector<std::span<const float>> values;
        for (std::int64_t j = window == 0 ? 0 : std::max<std::int64_t>(0, position - window + 1); j <= position; ++j) {
          const std::int64_t row = layout.row(user, head / (heads / layout.kv_heads), j);
          keys.push_back(stored_k.row(row));
          values.push_back(stored_v.row(row));
        }
        if (keys.empty()) {
          result.insert(result.end(), static_cast<std::size_t>(layout.head_dim), Expected{});
        } else {
          naive_attention(stored_q.row(user * heads + head), keys, values, scale, result,
                          weight_error_of(activation, cache), softcap,
                          key_bias.data.empty() ? nullptr : key_bias.row(head).data());
        }
      }
    }
    return result;
  }
};

class DecodeAttentionTest : public OpsTest {
 protected:
  Tensor run(const DecodeCase& c, DataType activation, DataType cache) const {
    AttentionOptions options{.scale = c.scale, .sliding_window_size = c.window, .softcap = c.softcap};
    if (!c.key_bias.data.empty()) {
      const TensorSpec spec{c.key_bias.shape, DataType::FLOAT32, Layout::ROW_MAJOR, kDramInterleaved};
      options.key_bias = tensor::from_host(*device, tensor::rows_of(c.key_bias), spec, "key_bias");
    }
    return paged_scaled_dot_product_attention_decode(upload(c.q, activation), upload(c.k, cache), upload(c.v, cache),
                                                     integers_to_device(*device, {c.users()}, c.positions),
                                                     c.layout.table_on(*device), options);
  }
  void expect_reference(const DecodeCase& c, DataType activation, DataType cache) const {
    const Tensor output = run(c, activation, cache);
    EXPECT_EQ(output.spec(), (TensorSpec{c.q.shape, activation, Layout::TILE, kDramInterleaved}));
    expect_close(to_host(output), c.reference(activation, cache), activation);
    expect_zero_padding(output);
  }
};

/// Positions that end in each part of a block, one idle user among them.
std::vector<std::int32_t> many_positions(std::int64_t users, std::int64_t context) {
  std::vector<std::int32_t> positions{0, 31, 32, 33, 63, -1, static_cast<std::int32_t>(context - 1)};
  for (std::int32_t user = 7; user < users; ++user) positions.push_back(user * 29 % static_cast<std::int32_t>(context));
  positions.resize(static_cast<std::size_t>(users));
  return positions;
}

class DecodeAttentionOfFormat : public DecodeAttentionTest, public testing::WithParamInterface<DataType> {};
INSTANTIATE_TEST_SUITE_P(CacheFormats, DecodeAttentionOfFormat, kFloatFormats, test::dtype_name);

TEST_P(DecodeAttentionOfFormat, AgreesWithDoublePrecisionThroughAShuffledPageTable) {
  for (const DataType activation : {DataType::FLOAT32, DataType::BFLOAT16}) {
    expect_reference({PagedLayout::shuffled(7, 4, 2, 32, 16), 4, many_positions(7, 128)}, activation, GetParam());
    expect_reference({PagedLayout::shuffled(1, 3, 1, 64, 8), 1, {100}}, activation, GetParam());
    expect_reference({PagedLayout::shuffled(32, 3, 2, 32, 40), 6, many_positions(32, 96)}, activation, GetParam());
    // More query heads than a tile has rows.
    expect_reference({PagedLayout::shuffled(2, 2, 5, 32, 24), 40, {50, 7}}, activation, GetParam());
  }
}

TEST_P(DecodeAttentionOfFormat, CapsScoresAndAddsWhatBelongsToAKey) {
  for (const DataType activation : {DataType::FLOAT32, DataType::BFLOAT16}) {
    DecodeCase c{PagedLayout::shuffled(7, 20, 2, 32, 16), 6, {0, 31, 32, 100, 639, -1, 520}};
    c.softcap = 2.0F;
    expect_reference(c, activation, GetParam());
    c.key_bias = random_values({1, 1, 6, 640}, 4, 2.0F);
    expect_reference(c, activation, GetParam());
    c.softcap = 0.0F;
    expect_reference(c, activation, GetParam());
  }
}

TEST_F(DecodeAttentionTest, SlidingWindowsOfAnySize) {
  for (const std::int64_t window : {1, 5, 31, 32, 33, 64, 127, 128, 5000}) {
    expect_reference({PagedLayout::shuffled(9, 4, 2, 32, 16), 4, many_positions(9, 128), window}, DataType::FLOAT32,
                     DataType::FLOAT32);
  }
}

TEST_F(DecodeAttentionTest, LongCachesAreCutIntoParts) {
  // Parts have 512 keys: positions at their ends, and users whose caches are shorter than one.
  const std::vector<std::int32_t> positions{0, 510, 511, 512, 1023, 1024, 1200, -1};
  for (const std::int64_t window : {0, 1, 100, 512, 513, 700}) {
    for (const DataType cache : {DataType::BFLOAT16, DataType::BFLOAT8_B}) {
      expect_reference({PagedLayout::shuffled(8, 19, 2, 64, 16), 4, positions, window}, DataType::BFLOAT16, cache);
    }
  }
  for (const std::int32_t position : {3, 511, 512, 1215}) {
    expect_reference({PagedLayout::shuffled(1, 19, 1, 64, 40), 3, {position}}, DataType::BFLOAT16, DataType::BFLOAT16);
  }
}

TEST_F(DecodeAttentionTest, GroupsAndHeadsOfAnySize) {
  for (const std::int64_t group : {1, 2, 3, 4, 8, 12, 13, 71}) {
    expect_reference({PagedLayout::shuffled(2, 5, 1, 32, 64), group, {159, 70}}, DataType::BFLOAT16,
                     DataType::BFLOAT16);
  }
  for (const std::int64_t head_dim : {8, 16, 24, 33, 64, 80, 96, 128, 160, 256}) {
    for (const DataType cache : {DataType::BFLOAT16, DataType::BFLOAT8_B}) {
      expect_reference({PagedLayout::shuffled(2, 5, 2, 32, head_dim), 6, {140, 31}}, DataType::BFLOAT16, cache);
    }
  }
}

TEST_F(DecodeAttentionTest, IgnoresWhatLiesBeyondThePositionAndBeforeTheWindow) {
  for (const auto& [window, dtype] :
       {std::pair{0, DataType::FLOAT32}, {20, DataType::FLOAT32}, {0, DataType::BFLOAT16}, {20, DataType::BFLOAT16}}) {
    DecodeCase c(PagedLayout::shuffled(3, 4, 1, 32, 16), 2, {5, 40, 127}, window);
    const HostTensor clean = to_host(run(c, dtype, dtype));
    for (std::int64_t user = 0; user < 3; ++user) {
      const std::int64_t position = c.positions[static_cast<std::size_t>(user)];
      for (std::int64_t j = 0; j < 128; ++j) {
        if (j <= position && (window == 0 || j > position - window)) continue;
        for (std::int64_t d = 0; d < 16; ++d) {
          const auto at = static_cast<std::size_t>(c.layout.row(user, 0, j) * 16 + d);
          c.k.data[at] = c.v.data[at] = std::nanf("");
        }
      }
    }
    EXPECT_EQ(bits_of(to_host(run(c, dtype, dtype))), bits_of(clean)) << window;
  }
}

TEST_F(DecodeAttentionTest, AnIdleUserGetsZeros) {
  const DecodeCase c(PagedLayout::shuffled(2, 2, 1, 32, 16), 2, {-1, 3});
  const HostTensor output = to_host(run(c, DataType::BFLOAT16, DataType::BFLOAT8_B));
  EXPECT_THAT(output.row(0), testing::Each(0.0F));
  EXPECT_THAT(output.row(1), testing::Each(0.0F));
  EXPECT_NE(output.row(2)[0], 0.0F);
}

TEST_F(DecodeAttentionTest, AUserGetsTheSameBitsAloneAndAmong32) {
  for (const auto& [cache, blocks] :
       {std::pair{DataType::BFLOAT16, 4}, {DataType::BFLOAT8_B, 4}, {DataType::BFLOAT16, 40}, {DataType::FLOAT32, 4}}) {
    const DecodeCase together(PagedLayout::shuffled(32, blocks, 2, 32, 40), 8, many_positions(32, 32 * blocks));
    const HostTensor all = to_host(run(together, DataType::BFLOAT16, cache));
    for (const std::int64_t user : {0, 1, 6, 17, 31}) {
      DecodeCase alone = together;
      const auto at = static_cast<std::size_t>(user);
      alone.positions = {together.positions[at]};
      alone.layout.users = 1;
      const auto table = together.layout.table.begin() + user * blocks;
      alone.layout.table.assign(table, table + blocks);
      const auto first = together.q.data.begin() + user * 8 * 40;
      alone.q = {{1, 1, 8, 40}, {first, first + 8 * 40}};
      const HostTensor one = to_host(run(alone, DataType::BFLOAT16, cache));
      EXPECT_TRUE(std::equal(one.data.begin(), one.data.end(), all.data.begin() + user * 8 * 40)) << "user " << user;
    }
  }
}

TEST_F(DecodeAttentionTest, GivesTheBitsOfPrefillFromTheSameCache) {
  // Keys and values in the cache's own format, so that both see the same numbers.
  const std::int64_t length = 90;
  const PagedLayout layout = PagedLayout::shuffled(1, 3, 2, 32, 16);
  for (const std::int64_t window : {0, 40}) {
    const DecodeCase c(layout, 4, {static_cast<std::int32_t>(length - 1)}, window);
    const HostTensor decoded = to_host(run(c, DataType::FLOAT32, DataType::FLOAT32));
    HostTensor q = random_values({1, 4, length, 16}, 9);
    HostTensor k{{1, 2, length, 16}, std::vector<float>(2 * length * 16)};
    HostTensor v = k;
    for (std::int64_t head = 0; head < 4; ++head) copy_row(c.q, head, q, head * length + length - 1);
    for (std::int64_t head = 0; head < 2; ++head) {
      for (std::int64_t j = 0; j < length; ++j) {
        copy_row(c.k, layout.row(0, head, j), k, head * length + j);
        copy_row(c.v, layout.row(0, head, j), v, head * length + j);
      }
    }
    const HostTensor prefilled = to_host(
        scaled_dot_product_attention(upload(q, DataType::FLOAT32), upload(k, DataType::FLOAT32),
                                     upload(v, DataType::FLOAT32), {.scale = c.scale, .sliding_window_size = window}));
    for (std::int64_t head = 0; head < 4; ++head) {
      const auto expected = decoded.row(head);
      EXPECT_TRUE(std::equal(expected.begin(), expected.end(), prefilled.row(head * length + length - 1).begin()))
          << "head " << head << " window " << window;
    }
  }
}

TEST_F(DecodeAttentionTest, GivesTheSameBitsWithAnyNumberOfThreads) {
  // Long caches of one user are shared out among threads.
  for (const DecodeCase& c : {DecodeCase(PagedLayout::shuffled(32, 4, 2, 32, 40), 8, many_positions(32, 128)),
                              DecodeCase(PagedLayout::shuffled(1, 70, 2, 32, 40), 8, {2200}),
                              DecodeCase(PagedLayout::shuffled(2, 70, 1, 32, 40), 8, {1100, 12}, 900)}) {
    std::vector<std::vector<std::uint32_t>> results;
    for (const int threads : {1, 2, 7}) {
      const auto other = runtime::MeshDevice::open({.threads = threads});
      results.push_back(bits_of(to_host(paged_scaled_dot_product_attention_decode(
          to_device(*other, c.q, DataType::BFLOAT16), to_device(*other, c.k, DataType::BFLOAT8_B),
          to_device(*other, c.v, DataType::BFLOAT8_B), integers_to_device(*other, {c.users()}, c.positions),
          c.layout.table_on(*other), {.scale = c.scale, .sliding_window_size = c.window}))));
    }
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
  }
}

TEST_F(DecodeAttentionTest, PositionsAndBlocksOutOfRangeFailOnTheQueue) {
  DecodeCase c(PagedLayout::shuffled(2, 2, 1, 32, 16), 2, {3, 64});
  EXPECT_THAT([&] { to_host(run(c, DataType::FLOAT32, DataType::FLOAT32)); },
              ThrowsMessage<base::DeviceError>(testing::AllOf(HasSubstr("[paged_scaled_dot_product_attention_decode]"),
                                                              HasSubstr("positions must be below 64; received 64"))));
  c.positions = {3, 40};
  for (const std::int32_t wild : {-1, 7, 1'000'000}) { // 7 blocks there are
    c.layout.table[3] = wild;
    EXPECT_THAT([&] { to_host(run(c, DataType::FLOAT32, DataType::FLOAT32)); },
                ThrowsMessage<base::DeviceError>(HasSubstr(
                    fmt::format("page table entries up to the position must be in 0..6; received {}", wild))));
  }
  c.positions = {3, 20}; // the wild entry is beyond the position: nobody follows it
  EXPECT_NO_THROW(to_host(run(c, DataType::FLOAT32, DataType::FLOAT32)));
}

TEST_F(DecodeAttentionTest, RefusesOperandsThatDoNotFit) {
  const Tensor q = random({1, 2, 4, 16}, 1);
  const Tensor cache = random({7, 2, 32, 16}, 2);
  const Tensor positions = integers_to_device(*device, {2}, {0, 1});
  const Tensor table = integers_to_device(*device, {2, 3}, {0, 1, 2, 3, 4, 5});
  const auto sdpa = [](const Tensor& query, const Tensor& k, const Tensor& v, const Tensor& at, const Tensor& pages) {
    return paged_scaled_dot_product_attention_decode(query, k, v, at, pages, {});
  };
  EXPECT_INVALID(sdpa(random({2, 2, 4, 16}, 1), cache, cache, positions, table), "q [1, B, Hq, D] and k_cache");
  EXPECT_INVALID(sdpa(q, random({7, 3, 32, 16}, 1), cache, positions, table), "must be a multiple of the KV heads");
  EXPECT_INVALID(sdpa(q, random({7, 2, 32, 24}, 1), cache, positions, table),
                 "k_cache must have the shape [7, 2, 32, 16]");
  EXPECT_INVALID(sdpa(q, cache, random({6, 2, 32, 16}, 1), positions, table),
                 "v_cache must have the shape [7, 2, 32, 16]");
  EXPECT_INVALID(sdpa(q, cache, cache, integers_to_device(*device, {3}, {0, 1, 2}), table),
                 "cur_pos must be INT32 [2]");
  EXPECT_INVALID(sdpa(q, cache, cache, random({2}, 1), table), "cur_pos must be INT32 [2]");
  EXPECT_INVALID(sdpa(q, cache, cache, Tensor(), table), "cur_pos must be INT32 [2]");
  EXPECT_INVALID(sdpa(q, cache, cache, positions, integers_to_device(*device, {1, 3}, {0, 1, 2})),
                 "page_table must be");
  EXPECT_INVALID(sdpa(q, cache, cache, positions, Tensor()), "page_table must be INT32");
  EXPECT_INVALID(sdpa(q, random({7, 2, 16, 16}, 1), random({7, 2, 16, 16}, 1), positions, table), "blocks whole tiles");
  EXPECT_INVALID(sdpa(Tensor(), cache, cache, positions, table), "q must be a floating-point tensor");
}

} // namespace
} // namespace tessera::ops
