// What leads into a product and what follows it: packing of tiles, and sums on their way into tiles.

#include <optional>

#include "kernels_fixture.hpp"

namespace tessera::kernels {
namespace {

class Product : public KernelsTest {
 protected:
  void fill(TiledMatrix& matrix) {
    for (std::int64_t row = 0; row < matrix.tiles.tile_rows * 32; ++row) {
      const std::vector<float> values = normals(matrix.tiles.tile_columns * 32);
      oracle->store_row(matrix.tiles, row, values.data(), std::ssize(values));
    }
  }
};

struct StoreCase {
  DataType output;
  std::optional<DataType> residual;
  bool bias;
  bool relu;
};

TEST_F(Product, StoreEqualsItsStepsOneAfterAnother) {
  std::vector<StoreCase> cases;
  for (const DataType output : kFormats) {
    for (const bool bias : {false, true}) {
      for (const bool relu : {false, true}) {
        cases.push_back({output, {}, bias, relu});
        for (const DataType residual : kFormats) cases.push_back({output, residual, bias, relu});
      }
    }
  }
  for (const StoreCase& test : cases) {
    TiledMatrix residual(test.residual.value_or(DataType::BFLOAT16), 4, 3);
    fill(residual);
    for (const std::int64_t rows : {1, 15, 16, 17, 32, 33, 70}) {
      const std::vector<float> sums = normals(rows * 32);
      const std::vector<float> bias = normals(32);
      TiledMatrix expected(test.output, 4, 3);
      TiledMatrix actual(test.output, 4, 3);
      std::vector<float> values = sums;
      for (std::int64_t row = 0; row < rows; row += 32) {
        const std::int64_t height = std::min<std::int64_t>(32, rows - row);
        float* tile = values.data() + row * 32;
        for (std::int64_t i = 0; i < height && test.bias; ++i)
          oracle->add(tile + i * 32, bias.data(), 32, tile + i * 32);
        std::vector<float> other(kTileElements);
        oracle->load_tile(residual.tiles, 1 + row / 32, 2, other.data());
        if (test.residual) oracle->add(tile, other.data(), height * 32, tile);
        if (test.relu) oracle->relu(tile, height * 32, tile);
        oracle->store_tile(expected.tiles, 1 + row / 32, 2, height, tile, 32);
      }
      tested->store_product(actual.tiles, 1, 2,
                            {.sums = sums.data(),
                             .rows = rows,
                             .bias = test.bias ? bias.data() : nullptr,
                             .residual = test.residual ? ConstTiles(residual.tiles) : ConstTiles(),
                             .relu = test.relu});
      ASSERT_TRUE(std::ranges::equal(actual.fenced(), expected.fenced()))
          << to_string(test.output) << " residual " << (test.residual ? to_string(*test.residual) : "none") << " bias "
          << test.bias << " relu " << test.relu << " rows " << rows;
    }
  }
}

TEST_F(Product, StoreRoundsWhateverBits) {
  for (const DataType output : kFormats) {
    const std::vector<float> sums = any_floats(32 * 32);
    TiledMatrix expected(output, 1, 1);
    TiledMatrix actual(output, 1, 1);
    oracle->store_tile(expected.tiles, 0, 0, 32, sums.data(), 32);
    tested->store_product(actual.tiles, 0, 0, {.sums = sums.data(), .rows = 32});
    ASSERT_TRUE(std::ranges::equal(actual.fenced(), expected.fenced())) << to_string(output);
  }
}

TEST_F(Product, PackedTileIsPackedRows) {
  for (const DataType dtype : kFormats) {
    if (dtype == DataType::FLOAT32) continue;
    for (const std::int64_t misalignment : {0, 1}) {
      TiledMatrix matrix(dtype, 2, 3, misalignment);
      fill(matrix);
      for (const std::int64_t rows : {1, 16, 17, 32}) {
        for (const std::int64_t count : {2, 16, 30, 32}) {
          const std::int64_t stride = (count + 3) * tested->packed_bytes;
          std::vector<std::byte> expected(static_cast<std::size_t>(rows * stride + 8), std::byte{0xEE});
          std::vector<std::byte> actual = expected;
          std::vector<float> tile(kTileElements);
          oracle->load_tile(matrix.tiles, 1, 2, tile.data());
          for (std::int64_t row = 0; row < rows; ++row)
            tested->pack_bf16(tile.data() + row * 32, count, expected.data() + row * stride);
          tested->pack_bf16_tile(matrix.tiles, 1, 2, rows, count, actual.data(), stride);
          ASSERT_EQ(actual, expected) << to_string(dtype) << " rows " << rows << " count " << count;
        }
      }
    }
  }
}

} // namespace
} // namespace tessera::kernels
