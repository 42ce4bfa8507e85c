#include "tessera/spec/tensor_spec.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tessera/base/error.hpp"

namespace tessera {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TensorSpec tiled(const Shape& shape, DataType dtype = DataType::BFLOAT16) {
  return {shape, dtype, Layout::TILE, kDramInterleaved};
}
TensorSpec row_major(const Shape& shape, DataType dtype = DataType::BFLOAT16) {
  return {shape, dtype, Layout::ROW_MAJOR, kDramInterleaved};
}

TEST(TensorSpec, PadsTheLastTwoExtentsToTiles) {
  EXPECT_EQ(tiled({2, 3, 33, 40}).padded_shape(), (Shape{2, 3, 64, 64}));
  EXPECT_EQ(tiled({1, 1, 32, 64}).padded_shape(), (Shape{1, 1, 32, 64}));
  EXPECT_EQ(tiled({5}).padded_shape(), (Shape{32, 32}));
  EXPECT_EQ(row_major({2, 33, 40}).padded_shape(), (Shape{2, 33, 40}));
}

TEST(TensorSpec, CountsTilesOfEachMatrix) {
  const TensorSpec spec = tiled({2, 3, 33, 70}, DataType::BFLOAT8_B);
  EXPECT_EQ(spec.num_matrices(), 6);
  EXPECT_EQ(spec.tile_rows(), 2);
  EXPECT_EQ(spec.tile_columns(), 3);
  EXPECT_EQ(spec.num_pages(), 36);
  EXPECT_EQ(spec.page_bytes(), 1088);
  EXPECT_EQ(spec.size_bytes(), 36 * 1088);
}

TEST(TensorSpec, ARowIsThePageOfRowMajor) {
  const TensorSpec spec = row_major({2, 3, 33, 70});
  EXPECT_EQ(spec.num_pages(), 2 * 3 * 33);
  EXPECT_EQ(spec.page_bytes(), 140);
  EXPECT_EQ(row_major({7}, DataType::INT32).num_pages(), 1);
  EXPECT_EQ(row_major({7}, DataType::INT32).page_bytes(), 28);
}

TEST(TensorSpec, TilesOfAPairOfColumnsAreNeighbours) {
  const TensorSpec spec = tiled({2, 64, 96}); // 2 tiles down, 3 across
  EXPECT_EQ(spec.tile_index(0, 0, 0), 0);
  EXPECT_EQ(spec.tile_index(0, 0, 1), 1);
  EXPECT_EQ(spec.tile_index(0, 1, 0), 2);
  EXPECT_EQ(spec.tile_index(0, 0, 2), 4);
  EXPECT_EQ(spec.tile_index(0, 1, 2), 5);
  EXPECT_EQ(spec.tile_index(1, 0, 0), 6);
  EXPECT_EQ(spec.tile_index(1, 1, 2), 11);
}

TEST(TensorSpec, PrintsAllThatMatters) {
  EXPECT_EQ(to_string(TensorSpec{{1, 1, 32, 2048}, DataType::BFLOAT16, Layout::TILE, kL1Interleaved}),
            "BFLOAT16 [1, 1, 32, 2048] TILE L1 INTERLEAVED");
  const MemoryConfig sharded{TensorMemoryLayout::WIDTH_SHARDED, BufferType::L1, ShardSpec{1, 8, 32, 256}};
  EXPECT_EQ(to_string(sharded), "L1 WIDTH_SHARDED 32x256 on 1x8 cores");
}

TEST(ValidateTensorSpec, TakesEveryFormatInTiles) {
  for (const DataType dtype : {DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B, DataType::BFLOAT4_B,
                               DataType::BFLOAT2_B, DataType::UINT32, DataType::INT32}) {
    EXPECT_NO_THROW(validate(tiled({1, 1, 32, 32}, dtype))) << to_string(dtype);
  }
}

TEST(ValidateTensorSpec, RefusesBlockFormatsInRowMajor) {
  for (const DataType dtype : {DataType::BFLOAT8_B, DataType::BFLOAT4_B, DataType::BFLOAT2_B}) {
    EXPECT_THAT(
        [&] {
          validate(row_major({1, 32}, dtype));
        },
        ThrowsMessage<base::InvalidArgument>(HasSubstr("exists in TILE layout only")));
  }
}

TEST(ValidateTensorSpec, RefusesRankZeroAndEmptyExtents) {
  EXPECT_THAT([] { validate(tiled({})); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("rank 1 or more without empty extents")));
  EXPECT_THAT([] { validate(tiled({1, 0})); }, ThrowsMessage<base::InvalidArgument>(HasSubstr("received [1, 0]")));
}

TEST(ValidateTensorSpec, WantsAShardSpecExactlyForShardedLayouts) {
  TensorSpec spec = tiled({1, 1, 32, 64});
  spec.memory_config.memory_layout = TensorMemoryLayout::HEIGHT_SHARDED;
  EXPECT_THAT([&] { validate(spec); }, ThrowsMessage<base::InvalidArgument>(HasSubstr("come together")));
  spec.memory_config.shard_spec = ShardSpec{1, 1, 32, 64};
  EXPECT_NO_THROW(validate(spec));
  spec.memory_config.memory_layout = TensorMemoryLayout::INTERLEAVED;
  EXPECT_THAT([&] { validate(spec); }, ThrowsMessage<base::InvalidArgument>(HasSubstr("come together")));
}

} // namespace
} // namespace tessera
