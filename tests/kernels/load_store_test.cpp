#include "kernels_fixture.hpp"

namespace tessera::kernels {
namespace {

class LoadStore : public KernelsTest {
 protected:
  /// Tiles whose bytes are random; for block formats every third has exponents at the ends of the range.
  void fill_randomly(TiledMatrix& matrix) {
    std::vector<std::byte> content = any_bytes(matrix.bytes());
    if (is_block_float(matrix.tiles.dtype)) {
      constexpr std::array<int, 8> kEnds = {0, 1, 2, 5, 6, 7, 254, 255};
      const auto size = static_cast<std::size_t>(tile_bytes(matrix.tiles.dtype));
      for (std::size_t tile = 0; tile < content.size() / size; tile += 3) {
        for (std::size_t g = 0; g < 64; ++g) content[tile * size + g] = static_cast<std::byte>(kEnds[random() % 8]);
      }
    }
    matrix.fill(content);
  }
};

TEST_F(LoadStore, LoadRowEqualsTheOracle) {
  for (const DataType dtype : kFormats) {
    for (const std::int64_t misalignment : {0, 1}) {
      TiledMatrix matrix(dtype, 2, 3, misalignment);
      fill_randomly(matrix);
      for (const std::int64_t row : {0, 5, 15, 16, 31, 32, 63}) {
        for (const std::int64_t first : {0, 3, 16, 17, 31, 32, 48}) {
          for (std::int64_t count = 0; count <= kMostSizes; ++count) {
            std::vector<float> expected(kMostSizes + 2, 7.0F);
            std::vector<float> actual = expected;
            oracle->load_row(matrix.tiles, row, first, count, expected.data() + 1);
            tested->load_row(matrix.tiles, row, first, count, actual.data() + 1);
            ASSERT_EQ(exact_bits_of(actual), exact_bits_of(expected))
                << to_string(dtype) << " row " << row << " first " << first << " count " << count;
          }
        }
      }
    }
  }
}

TEST_F(LoadStore, LoadTileEqualsTheOracle) {
  for (const DataType dtype : kFormats) {
    for (const std::int64_t misalignment : {0, 1}) {
      TiledMatrix matrix(dtype, 3, 2, misalignment);
      fill_randomly(matrix);
      for (std::int64_t row = 0; row < 3; ++row) {
        for (std::int64_t column = 0; column < 2; ++column) {
          std::vector<float> expected(kTileElements + 2, 7.0F);
          std::vector<float> actual = expected;
          oracle->load_tile(matrix.tiles, row, column, expected.data() + 1);
          tested->load_tile(matrix.tiles, row, column, actual.data() + 1);
          ASSERT_EQ(exact_bits_of(actual), exact_bits_of(expected)) << to_string(dtype);
          oracle->load_tile_transposed(matrix.tiles, row, column, expected.data() + 1);
          tested->load_tile_transposed(matrix.tiles, row, column, actual.data() + 1);
          ASSERT_EQ(exact_bits_of(actual), exact_bits_of(expected)) << to_string(dtype) << " transposed";
        }
      }
    }
  }
}

TEST_F(LoadStore, TransposedTileHasRowsForColumns) {
  for (const DataType dtype : kFormats) {
    TiledMatrix matrix(dtype, 1, 1);
    const std::vector<float> values = normals(kTileElements);
    tested->store_tile(matrix.tiles, 0, 0, kTileHeight, values.data(), kTileWidth);
    std::vector<float> straight(kTileElements);
    std::vector<float> transposed(kTileElements);
    tested->load_tile(matrix.tiles, 0, 0, straight.data());
    tested->load_tile_transposed(matrix.tiles, 0, 0, transposed.data());
    for (std::size_t i = 0; i < 32; ++i) {
      for (std::size_t j = 0; j < 32; ++j) ASSERT_EQ(transposed[j * 32 + i], straight[i * 32 + j]);
    }
  }
}

TEST_F(LoadStore, StoreRowEqualsTheOracle) {
  for (const DataType dtype : kFormats) {
    for (const std::int64_t misalignment : {0, 1}) {
      for (const bool special : {false, true}) {
        for (std::int64_t count = 0; count <= 96; count += count < 2 * kMostSizes ? 1 : 15) {
          TiledMatrix expected(dtype, 2, 3, misalignment);
          TiledMatrix actual(dtype, 2, 3, misalignment);
          const std::vector<float> row = special ? any_floats(count + 1) : normals(count + 1);
          oracle->store_row(expected.tiles, 37, row.data() + 1, count);
          tested->store_row(actual.tiles, 37, row.data() + 1, count);
          ASSERT_TRUE(std::ranges::equal(actual.fenced(), expected.fenced()))
              << to_string(dtype) << " count " << count << (special ? " any bits" : "");
        }
      }
    }
  }
}

TEST_F(LoadStore, StoreRowClearsTheRest) {
  for (const DataType dtype : kFormats) {
    TiledMatrix matrix(dtype, 1, 2);
    const std::vector<float> row(20, 1.0F);
    tested->store_row(matrix.tiles, 3, row.data(), 20);
    std::vector<float> back(64, 7.0F);
    tested->load_row(matrix.tiles, 3, 0, 64, back.data());
    for (std::size_t i = 0; i < 64; ++i) ASSERT_EQ(back[i], i < 20 ? 1.0F : 0.0F) << to_string(dtype) << " " << i;
  }
}

TEST_F(LoadStore, StoreTileEqualsTheOracle) {
  for (const DataType dtype : kFormats) {
    for (const std::int64_t stride : {32, 37}) {
      for (int repeat = 0; repeat < 33; ++repeat) {
        TiledMatrix expected(dtype, 2, 2, repeat % 2);
        TiledMatrix actual(dtype, 2, 2, repeat % 2);
        const std::vector<float> in = repeat < 10 ? any_floats(32 * stride) : normals(32 * stride);
        const std::int64_t rows = kTileHeight - repeat;
        oracle->store_tile(expected.tiles, 1, 1, rows, in.data(), stride);
        tested->store_tile(actual.tiles, 1, 1, rows, in.data(), stride);
        ASSERT_TRUE(std::ranges::equal(actual.fenced(), expected.fenced())) << to_string(dtype);
      }
    }
  }
}

TEST_F(LoadStore, ClearRowsLeavesTheRowsAboveAndOtherTileRows) {
  for (const DataType dtype : kFormats) {
    for (const std::int64_t row : {0, 1, 15, 16, 17, 31}) {
      TiledMatrix expected(dtype, 3, 3);
      TiledMatrix actual(dtype, 3, 3);
      const std::vector<float> values = normals(96, 1.0F);
      for (std::int64_t r = 0; r < 96; ++r) {
        oracle->store_row(actual.tiles, r, values.data(), 96);
        oracle->store_row(expected.tiles, r, values.data(), r >= 32 + row && r < 64 ? 0 : 96);
      }
      tested->clear_rows(actual.tiles, 32 + row);
      ASSERT_TRUE(std::ranges::equal(actual.fenced(), expected.fenced())) << to_string(dtype) << " " << row;
    }
  }
}

TEST_F(LoadStore, BlockFormatsRoundEveryTieLikeTheOracle) {
  // Multiples of half a unit of each format below the group's largest value, on and just beside the ties.
  for (const DataType dtype : {DataType::BFLOAT8_B, DataType::BFLOAT4_B, DataType::BFLOAT2_B}) {
    const double half_unit = std::ldexp(1.0, -(element_bits(dtype) - 1));
    for (int multiple = 0; multiple < 2 << (element_bits(dtype) - 1); ++multiple) {
      const auto tie = static_cast<float>(multiple * half_unit);
      std::array<float, 32> row{};
      row[0] = 1.0F;
      row[1] = tie;
      row[2] = std::nextafter(tie, 2.0F);
      row[3] = std::nextafter(tie, 0.0F);
      row[4] = -tie;
      row[31] = tie;
      TiledMatrix expected(dtype, 1, 1);
      TiledMatrix actual(dtype, 1, 1);
      oracle->store_row(expected.tiles, 0, row.data(), 32);
      tested->store_row(actual.tiles, 0, row.data(), 32);
      ASSERT_TRUE(std::ranges::equal(actual.fenced(), expected.fenced())) << to_string(dtype) << " " << tie;
    }
  }
}

} // namespace
} // namespace tessera::kernels
