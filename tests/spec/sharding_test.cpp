#include "tessera/spec/sharding.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "tessera/base/error.hpp"

namespace tessera {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr auto kHeight = TensorMemoryLayout::HEIGHT_SHARDED;
constexpr auto kWidth = TensorMemoryLayout::WIDTH_SHARDED;
constexpr auto kBlock = TensorMemoryLayout::BLOCK_SHARDED;

TensorSpec sharded(const Shape& shape, TensorMemoryLayout layout, const ShardSpec& shard,
                   BufferType type = BufferType::L1) {
  return {shape, DataType::BFLOAT16, Layout::TILE, {layout, type, shard}};
}

void expect_refused(const TensorSpec& spec, const std::string& part) {
  EXPECT_THAT([&] { validate(spec, board("n150").arch); }, ThrowsMessage<base::InvalidArgument>(HasSubstr(part)))
      << to_string(spec);
}
void expect_fits(const TensorSpec& spec) {
  EXPECT_NO_THROW(validate(spec, board("n150").arch)) << to_string(spec);
}

TEST(PhysicalShape, FoldsAllButTheLastDimension) {
  TensorSpec spec{{2, 3, 33, 40}};
  EXPECT_EQ(spec.physical_height(), 2 * 3 * 64);
  EXPECT_EQ(spec.physical_width(), 64);
  spec.layout = Layout::ROW_MAJOR;
  EXPECT_EQ(spec.physical_height(), 2 * 3 * 33);
  EXPECT_EQ(spec.physical_width(), 40);
}

TEST(ValidateShards, TakesTheCommonPlaces) {
  expect_fits(sharded({1, 1, 32, 2048}, kWidth, {4, 8, 32, 64}));
  expect_fits(sharded({1, 1, 5, 2000}, kWidth, {4, 8, 32, 64})); // padding counts
  expect_fits(sharded({1, 8, 4, 64}, kHeight, {1, 8, 32, 64}));
  expect_fits(sharded({1, 1, 256, 512}, kBlock, {8, 4, 32, 128}));
  expect_fits(sharded({1, 1, 4096, 3072}, kWidth, {1, 12, 4096, 256}, BufferType::DRAM));
}

TEST(ValidateShards, TakesALastShardInPartAndCoresWithoutOne) {
  expect_fits(sharded({1, 1, 32, 160}, kWidth, {1, 3, 32, 64}));
  expect_fits(sharded({1, 1, 32, 64}, kWidth, {8, 8, 32, 64}));
  expect_fits(sharded({1, 1, 96, 64}, kBlock, {8, 8, 64, 64}));
}

TEST(ValidateShards, WantsWholeTilesInTileLayout) {
  expect_refused(sharded({1, 1, 32, 96}, kWidth, {1, 2, 32, 48}),
                 "multiples of 32x32; received 32x48 for BFLOAT16 [1, 1, 32, 96] TILE L1 WIDTH_SHARDED 32x48 on 1x2 "
                 "cores; round it up to 32x64");
  TensorSpec rows = sharded({1, 1, 32, 96}, kWidth, {1, 2, 32, 48});
  rows.layout = Layout::ROW_MAJOR;
  expect_fits(rows);
}

TEST(ValidateShards, WantsStripsOfTheTensorsOwnWidthAndHeight) {
  expect_refused(sharded({1, 4, 32, 64}, kHeight, {1, 4, 32, 32}),
                 "HEIGHT_SHARDED needs a shard width equal to the tensor's as stored, 64; received 32");
  expect_refused(sharded({1, 1, 128, 64}, kWidth, {1, 2, 32, 32}),
                 "WIDTH_SHARDED needs a shard height equal to the tensor's as stored, 128; received 32");
}

TEST(ValidateShards, WantsACoreForEachShard) {
  expect_refused(sharded({1, 9, 4, 64}, kHeight, {1, 8, 32, 64}), "9 shards on 8 cores");
  expect_refused(sharded({1, 1, 32, 2048}, kWidth, {1, 8, 32, 64}), "a shard width of 256 or more");
}

TEST(ValidateShards, BlocksFollowTheGridAndItsOrientation) {
  ShardSpec shard{.grid_rows = 2, .grid_columns = 4, .shard_height = 32, .shard_width = 32};
  expect_fits(sharded({1, 1, 64, 128}, kBlock, shard));
  expect_refused(sharded({1, 1, 128, 64}, kBlock, shard),
                 "at most 2 shards down and 4 across on this grid; received 4x2");
  shard.orientation = ShardOrientation::COL_MAJOR;
  expect_fits(sharded({1, 1, 128, 64}, kBlock, shard));
  expect_refused(sharded({1, 1, 64, 128}, kBlock, shard), "COL_MAJOR orientation needs at most 4 shards down and 2");
}

TEST(ValidateShards, WantsAGridThatTheChipHas) {
  expect_refused(sharded({1, 1, 32, 288}, kWidth, {1, 9, 32, 32}), "within the 8x8 worker cores of wormhole_b0");
  expect_refused(sharded({1, 1, 64, 416}, kWidth, {1, 13, 64, 32}, BufferType::DRAM), "a grid of 1x12 or less");
  expect_refused(sharded({1, 1, 64, 64}, kBlock, {1, 2, 64, 32}, BufferType::DRAM), "put blocks into L1");
  EXPECT_NO_THROW(validate(sharded({1, 1, 32, 288}, kWidth, {1, 9, 32, 32}), board("p150").arch));
}

TEST(ValidateShards, TakesShardsThatAreLargerThanTheTensorButNotThanACore) {
  constexpr std::int64_t kHuge = std::int64_t{1} << 58; // times 64 bytes: 0 in 64 bits
  expect_fits(sharded({1, 1, 32, 32}, kHeight, {1, 8, 128, 32}));
  expect_fits(sharded({1, 1, 32, 32}, kHeight, {1, 12, 128, 32}, BufferType::DRAM));
  expect_refused(sharded({1, 1, 32, 32}, kHeight, {1, 8, kHuge, 32}),
                 "must fit the 1499136 bytes of a core's L1; received 288230376151711744x32 for BFLOAT16");
  expect_refused(sharded({1, 1, 32, 32}, kWidth, {1, 8, 32, kHuge}), "32x32 hold all of the tensor");
  expect_refused(sharded({1, 1, 32, 32}, kBlock, {1, 8, kHuge, kHuge}), "a core's L1");
  expect_refused(sharded({1, 1, 32, 32}, kHeight, {1, 12, kHuge, 32}, BufferType::DRAM), "a bank of DRAM");
  // What a tensor needs is for the allocator to refuse, which knows what holds the rest.
  expect_fits(sharded({1, 1, 32768, 1024}, kHeight, {1, 1, 32768, 1024}));
}

TEST(ValidateShards, RefusesEmptyGridsAndShards) {
  expect_refused(sharded({1, 1, 32, 32}, kWidth, {0, 8, 32, 32}), "a grid of one core or more");
  expect_refused(sharded({1, 1, 32, 32}, kWidth, {1, 1, 32, 0}), "a shard of one element or more");
}

TEST(PagesInBanks, AreAWholeShardOnEveryCore) {
  const auto taken = [](const TensorSpec& spec, std::int64_t banks) {
    const PagesInBanks needed = pages_in_banks(spec, banks);
    return std::pair{needed.pages, needed.page_bytes};
  };
  EXPECT_EQ(taken({{1, 1, 32, 2048}}, 64), (std::pair<std::int64_t, std::int64_t>{64, 2048}));
  EXPECT_EQ(taken(sharded({1, 1, 32, 2048}, kWidth, {4, 8, 32, 64}), 64),
            (std::pair<std::int64_t, std::int64_t>{2 * 64, 2048}));
  TensorSpec rows = sharded({1, 1, 40, 100}, kHeight, {1, 4, 10, 100});
  rows.layout = Layout::ROW_MAJOR;
  EXPECT_EQ(taken(rows, 64), (std::pair<std::int64_t, std::int64_t>{10 * 64, 200}));
}

TEST(GridForWidth, DividesTheTilesOverAboutHalfTheCores) {
  const ArchSpec& wormhole = board("n150").arch;
  EXPECT_EQ(grid_for_width(128, wormhole), (CoreGrid{4, 8})); // 4096
  EXPECT_EQ(grid_for_width(64, wormhole), (CoreGrid{4, 8}));
  EXPECT_EQ(grid_for_width(112, wormhole), (CoreGrid{4, 7})); // 3584
  EXPECT_EQ(grid_for_width(16, wormhole), (CoreGrid{2, 8}));
  EXPECT_EQ(grid_for_width(1, wormhole), (CoreGrid{1, 1}));
}

TEST(GridForWidth, LeavesARestWhereFewCoresDivideTheTiles) {
  const ArchSpec& wormhole = board("n150").arch;
  EXPECT_EQ(grid_for_width(142, wormhole), (CoreGrid{4, 8})); // 4544: 29 shards of 5 tiles
  EXPECT_EQ(grid_for_width(62, wormhole), (CoreGrid{4, 8}));
}

TEST(ShardedOver, FitsEveryShapeLayoutAndBoard) {
  for (const BoardSpec& board : boards()) {
    for (const Shape& shape : {Shape{1, 1, 32, 2048}, Shape{1, 5, 3, 40}, Shape{1, 32, 71, 64}, Shape{4544},
                               Shape{1, 1, 1000, 33}, Shape{2, 3, 33, 70}}) {
      for (const TensorMemoryLayout layout : {kHeight, kWidth, kBlock}) {
        for (const Layout order : {Layout::TILE, Layout::ROW_MAJOR}) {
          TensorSpec spec{.shape = shape, .layout = order};
          spec.memory_config = sharded_over(spec, layout, board.arch);
          EXPECT_NO_THROW(validate(spec, board.arch)) << to_string(spec);
          EXPECT_EQ(spec.memory_config.memory_layout, layout);
        }
      }
    }
  }
}

TEST(ShardedOver, GivesEachUserACore) {
  TensorSpec spec{{1, 12, 4, 64}};
  spec.memory_config = sharded_over(spec, kHeight, board("n150").arch);
  EXPECT_EQ(to_string(spec.memory_config), "L1 HEIGHT_SHARDED 32x64 on 2x8 cores");
  EXPECT_EQ(shard_count(spec).total(), 12);
}

TEST(CreateShardedMemoryConfig, CutsAShapeOverAGrid) {
  EXPECT_EQ(create_sharded_memory_config({1, 1, 320, 256}, {2, 8}, kHeight),
            (MemoryConfig{kHeight, BufferType::L1, ShardSpec{2, 8, 32, 256}}));
  EXPECT_EQ(create_sharded_memory_config({1, 1, 320, 256}, {2, 4}, kBlock, ShardOrientation::COL_MAJOR),
            (MemoryConfig{kBlock, BufferType::L1, ShardSpec{2, 4, 96, 128, ShardOrientation::COL_MAJOR}}));
}

TEST(CreateShardedMemoryConfig, RefusesAGridWithoutCores) {
  for (const TensorMemoryLayout layout : {kHeight, kWidth, kBlock}) {
    EXPECT_THAT(
        [&] {
          create_sharded_memory_config({1, 1, 32, 2048}, {.rows = 0, .columns = 8}, layout);
        },
        ThrowsMessage<base::InvalidArgument>(HasSubstr("needs a grid of one core or more; received 0x8")));
    EXPECT_THROW(create_sharded_memory_config({1, 1, 32, 2048}, {.rows = 4, .columns = -1}, layout),
                 base::InvalidArgument);
  }
}

TEST(ShardedOver, RefusesTensorsWithoutElements) {
  for (const TensorMemoryLayout layout : {kHeight, kWidth, kBlock}) {
    for (const Shape& shape : {Shape{1, 1, 0, 64}, Shape{1, 0, 32, 64}, Shape{1, 1, 32, 0}, Shape{}}) {
      EXPECT_THAT(
          [&] { sharded_over(TensorSpec{shape}, layout, board("n150").arch); },
          ThrowsMessage<base::InvalidArgument>(HasSubstr("without empty extents; received " + to_string(shape))));
      EXPECT_THROW(create_sharded_memory_config(shape, {1, 8}, layout), base::InvalidArgument);
    }
  }
}

TEST(MemoryConfig, PrintsItsOrientation) {
  EXPECT_EQ(to_string(create_sharded_memory_config({1, 1, 64, 64}, {2, 2}, kBlock, ShardOrientation::COL_MAJOR)),
            "L1 BLOCK_SHARDED 32x32 on 2x2 cores COL_MAJOR");
  EXPECT_EQ(to_string(kL1WidthSharded), "L1 WIDTH_SHARDED");
}

} // namespace
} // namespace tessera
