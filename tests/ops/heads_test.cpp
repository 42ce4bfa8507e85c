#include "tessera/ops/transformer/heads.hpp"

#include "tests/ops/ops_fixture.hpp"

namespace tessera::ops {
namespace {

struct Case {
  std::int64_t rows, heads, kv_heads, head_dim;
};
// Head dimensions that fill no face, cross faces and tiles; more heads than a tile has rows.
const std::vector<Case> kCases = {{1, 2, 1, 8}, {5, 4, 2, 16}, {32, 8, 2, 64}, {33, 3, 3, 40}, {2, 40, 8, 24}};

/// Heads first .. first + count of rows [R, heads D]: as [H, R, D] in prefill, as [R, H, D] in decode.
HostTensor pick(const HostTensor& fused, const Case& c, std::int64_t first, std::int64_t count, bool decode) {
  HostTensor result{decode ? Shape{1, c.rows, count, c.head_dim} : Shape{1, count, c.rows, c.head_dim}, {}};
  const std::int64_t outer = decode ? c.rows : count;
  const std::int64_t inner = decode ? count : c.rows;
  for (std::int64_t i = 0; i < outer; ++i) {
    for (std::int64_t j = 0; j < inner; ++j) {
      const auto row = fused.row(decode ? i : j);
      const auto begin = row.begin() + (first + (decode ? j : i)) * c.head_dim;
      result.data.insert(result.data.end(), begin, begin + c.head_dim);
    }
  }
  return result;
}

class HeadsOfFormat : public OpsTest, public testing::WithParamInterface<DataType> {};
INSTANTIATE_TEST_SUITE_P(Formats, HeadsOfFormat,
                         testing::Values(DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B), test::dtype_name);

TEST_P(HeadsOfFormat, SplitTheFusedProjection) {
  for (const Case& c : kCases) {
    const HostTensor values = random_values({1, 1, c.rows, (c.heads + 2 * c.kv_heads) * c.head_dim}, 1);
    const HostTensor stored = rounded(values, GetParam());
    for (const bool decode : {false, true}) {
      const CreateHeadsOptions options{.num_heads = c.heads,
                                       .num_kv_heads = c.kv_heads,
                                       .memory_config = decode ? kL1HeightSharded : kL1Interleaved};
      const Tensor fused = upload(values, GetParam());
      const QkvHeads parts =
          decode ? nlp_create_qkv_heads_decode(fused, options) : nlp_create_qkv_heads(fused, options);
      const auto expect_heads = [&](const Tensor& part, std::int64_t first, std::int64_t count) {
        const HostTensor expected = pick(stored, c, first, count, decode);
        EXPECT_EQ(part.shape(), expected.shape);
        EXPECT_EQ(part.memory_config().memory_layout, options.memory_config.memory_layout);
        if (decode) {
          EXPECT_EQ(part.memory_config().shard_spec->shard_height, round_up(count, kTileHeight));
        }
        // Groups of a block format are cut anew when D is no multiple of 16.
        EXPECT_EQ(bits_of(to_host(part)), bits_of(rounded(expected, GetParam()))) << c.head_dim << " decode " << decode;
        expect_zero_padding(part);
      };
      expect_heads(parts.q, 0, c.heads);
      expect_heads(parts.k, c.heads, c.kv_heads);
      expect_heads(parts.v, c.heads + c.kv_heads, c.kv_heads);
    }
  }
}

TEST_P(HeadsOfFormat, JoinIsTheInverseOfSplit) {
  for (const Case& c : kCases) {
    const HostTensor values = random_values({1, 1, c.rows, c.heads * c.head_dim}, 2);
    for (const bool decode : {false, true}) {
      const HostTensor heads = pick(values, c, 0, c.heads, decode);
      const Tensor input = decode ? by_users(upload(heads, GetParam())) : upload(heads, GetParam());
      const Tensor joined = decode ? nlp_concat_heads_decode(input) : nlp_concat_heads(input);
      EXPECT_EQ(joined.shape(), values.shape);
      const HostTensor stored = rounded(heads, GetParam());
      HostTensor expected = values;
      for (std::int64_t row = 0; row < c.rows; ++row) {
        for (std::int64_t head = 0; head < c.heads; ++head) {
          const auto from = stored.row(decode ? row * c.heads + head : head * c.rows + row);
          std::copy(from.begin(), from.end(), expected.data.begin() + (row * c.heads + head) * c.head_dim);
        }
      }
      EXPECT_EQ(bits_of(to_host(joined)), bits_of(rounded(expected, GetParam()))) << c.head_dim << " decode " << decode;
      expect_zero_padding(joined);
    }
  }
}

TEST_P(HeadsOfFormat, OfABatchAreThoseOfItsSequences) {
  const HostTensor values = random_values({1, 1, 3 * 35, 4 * 32}, 3);
  const CreateHeadsOptions options{.num_heads = 2, .num_kv_heads = 1};
  CreateHeadsOptions of_batch = options;
  of_batch.batch_size = 3;
  const QkvHeads together = nlp_create_qkv_heads(upload(values, GetParam()), of_batch);
  EXPECT_EQ(together.q.shape(), (Shape{3, 2, 35, 32}));
  const HostTensor joined = to_host(nlp_concat_heads(together.q));
  EXPECT_EQ(joined.shape, (Shape{1, 1, 3 * 35, 64}));
  expect_zero_padding(together.v);
  for (std::size_t i = 0; i < 3; ++i) {
    const auto part = [i](const std::vector<float>& all) {
      const auto size = static_cast<std::ptrdiff_t>(all.size() / 3);
      return std::vector<float>(all.begin() + static_cast<std::ptrdiff_t>(i) * size,
                                all.begin() + static_cast<std::ptrdiff_t>(i + 1) * size);
    };
    const QkvHeads alone = nlp_create_qkv_heads(upload({{1, 1, 35, 128}, part(values.data)}, GetParam()), options);
    EXPECT_EQ(part(to_host(together.q).data), to_host(alone.q).data);
    EXPECT_EQ(part(to_host(together.k).data), to_host(alone.k).data);
    EXPECT_EQ(part(to_host(together.v).data), to_host(alone.v).data);
    EXPECT_EQ(part(joined.data), to_host(nlp_concat_heads(alone.q)).data);
  }
}

using HeadsTest = OpsTest;

TEST_F(HeadsTest, RefuseWidthsThatAreNotWholeHeads) {
  const Tensor fused = random({1, 1, 4, 64}, 1);
  EXPECT_INVALID(nlp_create_qkv_heads(fused, {.num_heads = 3, .num_kv_heads = 1}),
                 "[nlp_create_qkv_heads] input_tensor [1, 1, R, (num_heads + 2 num_kv_heads) D] is required");
  EXPECT_INVALID(nlp_create_qkv_heads_decode(fused, {.num_heads = 0, .num_kv_heads = 1}),
                 "[nlp_create_qkv_heads_decode]");
  EXPECT_INVALID(nlp_create_qkv_heads(random({1, 2, 4, 64}, 1), {.num_heads = 2, .num_kv_heads = 1}),
                 "received [1, 2, 4, 64]");
  EXPECT_INVALID(nlp_create_qkv_heads(Tensor(), {.num_heads = 2, .num_kv_heads = 1}), "input_tensor must be");
  EXPECT_INVALID(nlp_concat_heads(random({4, 64}, 1)), "[nlp_concat_heads] input_tensor must have the shape [B, H, S");
  EXPECT_INVALID(nlp_concat_heads_decode(random({2, 2, 4, 64}, 1)),
                 "[nlp_concat_heads_decode] input_tensor must have the shape [1, B, H");
}

TEST_F(HeadsTest, OfDecodeLieWhereTheCardPutsThem) {
  const auto place = [](const Tensor& tensor) { return to_string(tensor.memory_config()); };
  const Tensor fused = to_memory_config(random({1, 1, 12, 6 * 64}, 1), kL1WidthSharded);
  const QkvHeads heads =
      nlp_create_qkv_heads_decode(fused, {.num_heads = 4, .num_kv_heads = 1, .memory_config = kL1HeightSharded});
  EXPECT_EQ(place(heads.q), "L1 HEIGHT_SHARDED 32x64 on 2x8 cores");
  EXPECT_EQ(place(heads.k), place(heads.q));
  EXPECT_EQ(place(nlp_concat_heads_decode(heads.q)), "L1 WIDTH_SHARDED 32x64 on 1x4 cores");
  const MemoryConfig three_columns{TensorMemoryLayout::HEIGHT_SHARDED, BufferType::L1, ShardSpec{4, 3, 32, 64}};
  const QkvHeads others =
      nlp_create_qkv_heads_decode(fused, {.num_heads = 4, .num_kv_heads = 1, .memory_config = three_columns});
  EXPECT_EQ(others.v.memory_config(), three_columns);
}

TEST_F(HeadsTest, OfDecodeTakeTheGridOfAShardSpecAndCutTheShardsThemselves) {
  const Tensor fused = random({1, 1, 4, 44 * 32}, 1);
  const MemoryConfig asked{TensorMemoryLayout::HEIGHT_SHARDED, BufferType::L1,
                           ShardSpec{2, 3, 128, 96, ShardOrientation::COL_MAJOR}};
  const QkvHeads heads =
      nlp_create_qkv_heads_decode(fused, {.num_heads = 40, .num_kv_heads = 2, .memory_config = asked});
  EXPECT_EQ(to_string(heads.q.memory_config()), "L1 HEIGHT_SHARDED 64x32 on 2x3 cores");
  EXPECT_EQ(to_string(heads.k.memory_config()), "L1 HEIGHT_SHARDED 32x32 on 2x3 cores");
}

TEST_F(HeadsTest, OfDecodeRefuseOtherPlaces) {
  const Tensor fused = random({1, 1, 12, 6 * 32}, 1);
  const auto split = [&](const Tensor& input, const MemoryConfig& place) {
    nlp_create_qkv_heads_decode(input, {.num_heads = 4, .num_kv_heads = 1, .memory_config = place});
  };
  const MemoryConfig eight_cores{TensorMemoryLayout::HEIGHT_SHARDED, BufferType::L1, ShardSpec{1, 8, 32, 32}};
  EXPECT_INVALID(split(fused, kL1Interleaved),
                 "[nlp_create_qkv_heads_decode] a HEIGHT_SHARDED memory_config with a core for each of 12 users");
  EXPECT_INVALID(split(fused, eight_cores), "received L1 HEIGHT_SHARDED 32x32 on 1x8 cores with 8 cores");
  EXPECT_INVALID(split(to_memory_config(fused, kL1HeightSharded), kL1HeightSharded),
                 "input_tensor must be interleaved or WIDTH_SHARDED");
  EXPECT_INVALID(nlp_concat_heads_decode(random({1, 2, 4, 64}, 1)), "input_tensor must be HEIGHT_SHARDED");
}

} // namespace
} // namespace tessera::ops
