#include "tessera/numerics/tile_layout.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "tessera/base/error.hpp"

namespace tessera::numerics {
namespace {

std::vector<float> counting(std::int64_t count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 97) - 48.0F;
  return values;
}

class TileLayout : public testing::TestWithParam<TileOrder> {};
INSTANTIATE_TEST_SUITE_P(Orders, TileLayout, testing::Values(TileOrder::RowMajor, TileOrder::ColumnPairs));

TEST_P(TileLayout, RoundTripsAnySize) {
  for (const std::int64_t rows : {0, 1, 31, 32, 33, 70}) {
    for (const std::int64_t columns : {1, 16, 32, 65}) {
      const std::vector<float> matrix = counting(rows * columns);
      for (const DataType dtype : {DataType::FLOAT32, DataType::BFLOAT16, DataType::BFLOAT8_B}) {
        std::vector<std::byte> tiles(static_cast<std::size_t>(tilized_bytes(rows, columns, dtype)), std::byte{0xEE});
        tilize(matrix, rows, columns, dtype, GetParam(), tiles);
        std::vector<float> back(matrix.size());
        untilize(tiles, rows, columns, dtype, GetParam(), back);
        EXPECT_EQ(back, matrix) << rows << "x" << columns << " " << to_string(dtype);
      }
    }
  }
}

TEST_P(TileLayout, PadsWithZeros) {
  std::vector<std::byte> tiles(4096, std::byte{0xEE});
  tilize(std::vector<float>{1.0F}, 1, 1, DataType::FLOAT32, GetParam(), tiles);
  std::vector<float> all(1024);
  std::memcpy(all.data(), tiles.data(), 4096);
  std::vector<float> expected(1024);
  expected[0] = 1.0F;
  EXPECT_EQ(all, expected);
}

TEST(TileOrders, ColumnPairsKeepsPairsOfColumnsTogether) {
  const std::vector<float> matrix = counting(96 * 96);
  std::vector<std::byte> rows(static_cast<std::size_t>(tilized_bytes(96, 96, DataType::BFLOAT8_B)));
  std::vector<std::byte> columns(rows.size());
  tilize(matrix, 96, 96, DataType::BFLOAT8_B, TileOrder::RowMajor, rows);
  tilize(matrix, 96, 96, DataType::BFLOAT8_B, TileOrder::ColumnPairs, columns);
  EXPECT_EQ(std::memcmp(rows.data() + 3 * 1088, columns.data() + 2 * 1088, 1088), 0); // tile (1, 0)
  EXPECT_EQ(std::memcmp(rows.data() + 5 * 1088, columns.data() + 7 * 1088, 1088), 0); // tile (1, 2), of the last column
  std::vector<std::byte> reordered(rows.size());
  reorder_tiles(rows, TileOrder::RowMajor, 3, 3, DataType::BFLOAT8_B, reordered);
  EXPECT_EQ(reordered, columns);
  reorder_tiles(columns, TileOrder::ColumnPairs, 3, 3, DataType::BFLOAT8_B, reordered);
  EXPECT_EQ(reordered, rows);
}

TEST(TileOrders, RefuseSpansOfTheWrongSize) {
  std::vector<std::byte> tiles(4096);
  EXPECT_THROW(tilize(std::vector<float>(5), 2, 3, DataType::FLOAT32, TileOrder::RowMajor, tiles),
               base::InvalidArgument);
  std::vector<float> matrix(6);
  EXPECT_THROW(untilize(std::span(tiles).first(100), 2, 3, DataType::FLOAT32, TileOrder::RowMajor, matrix),
               base::InvalidArgument);
}

} // namespace
} // namespace tessera::numerics
