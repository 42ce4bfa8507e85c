#include "tests/kernels/kernels_fixture.hpp"

namespace tessera::kernels {
namespace {

class MatmulInt8 : public KernelsTest {
 protected:
  /// Products of m rows with every column of w: [columns, m, 32].
  static std::vector<float> multiply(const Kernels& isa, const std::vector<float>& a, std::int64_t m,
                                     const TiledMatrix& w) {
    const std::int64_t depth = w.tiles.tile_rows * 32;
    const std::int64_t stride = w.tiles.tile_rows * isa.int8_block_bytes + 64;
    std::vector<std::byte> packed(static_cast<std::size_t>(m * stride));
    for (std::int64_t row = 0; row < m; ++row)
      isa.pack_int8(a.data() + row * depth, depth, packed.data() + row * stride);
    std::vector<float> out(static_cast<std::size_t>(w.tiles.tile_columns * m * 32));
    isa.matmul_int8_tile_columns(packed.data(), stride, m, depth, w.tiles, 0, w.tiles.tile_columns, out.data());
    return out;
  }
  void fill_with(TiledMatrix& w, const std::vector<float>& values) const {
    const std::int64_t width = w.tiles.tile_columns * 32;
    for (std::int64_t row = 0; row < w.tiles.tile_rows * 32; ++row)
      oracle->store_row(w.tiles, row, values.data() + row * width, width);
  }
  /// Relative Frobenius error against the exact products of the stored values.
  double error(const std::vector<float>& a, std::int64_t m, const TiledMatrix& w) const {
    const std::int64_t depth = w.tiles.tile_rows * 32;
    const std::int64_t width = w.tiles.tile_columns * 32;
    const std::vector<float> products = multiply(*tested, a, m, w);
    double wrong = 0.0;
    double all = 0.0;
    std::vector<float> weights(static_cast<std::size_t>(depth * width));
    for (std::int64_t k = 0; k < depth; ++k) oracle->load_row(w.tiles, k, 0, width, weights.data() + k * width);
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < width; ++j) {
        double exact = 0.0;
        for (std::int64_t k = 0; k < depth; ++k) {
          exact += double{a[static_cast<std::size_t>(i * depth + k)]} *
                   double{weights[static_cast<std::size_t>(k * width + j)]};
        }
        const double got = products[static_cast<std::size_t>((j / 32 * m + i) * 32 + j % 32)];
        wrong += (got - exact) * (got - exact);
        all += exact * exact;
      }
    }
    return std::sqrt(wrong / all);
  }
};

TEST_F(MatmulInt8, EqualsTheOracleForEveryShape) {
  for (const std::int64_t tile_rows : {1, 2, 7, 8, 9, 17}) {
    TiledMatrix w(DataType::BFLOAT4_B, tile_rows, 3, tile_rows % 2);
    fill_with(w, normals(tile_rows * 32 * 96, 0.02F));
    const std::vector<float> a = normals(40 * tile_rows * 32);
    for (const std::int64_t m : {1, 2, 3, 4, 5, 11, 12, 13, 24, 25, 33, 40}) {
      ASSERT_EQ(bits_of(multiply(*tested, a, m, w)), bits_of(multiply(*oracle, a, m, w))) << m;
    }
  }
}

TEST_F(MatmulInt8, EqualsTheOracleForAnyBytesAndExponents) {
  for (const int spread : {1, 4, 6, 8, 20, 256}) {
    for (const int lowest : {0, 5, 120, 248}) {
      TiledMatrix w(DataType::BFLOAT4_B, 5, 2);
      std::vector<std::byte> content = any_bytes(w.bytes());
      for (std::size_t tile = 0; tile < 10; ++tile) {
        for (std::size_t group = 0; group < 64; ++group) {
          content[tile * 576 + group] =
              static_cast<std::byte>(std::min<int>(255, lowest + static_cast<int>(random()) % spread));
        }
      }
      w.fill(content);
      const std::vector<float> a = normals(7 * 160);
      ASSERT_EQ(bits_of(multiply(*tested, a, 7, w)), bits_of(multiply(*oracle, a, 7, w))) << spread << " " << lowest;
    }
  }
}

TEST_F(MatmulInt8, EqualsTheOracleForSpecialActivations) {
  TiledMatrix w(DataType::BFLOAT4_B, 4, 1);
  fill_with(w, normals(128 * 32, 0.02F));
  for (int repeat = 0; repeat < 20; ++repeat) {
    std::vector<float> a = repeat % 2 == 0 ? any_floats(9 * 128) : normals(9 * 128, std::ldexp(1.0F, -103 + repeat));
    ASSERT_EQ(bits_of(multiply(*tested, a, 9, w)), bits_of(multiply(*oracle, a, 9, w)));
  }
}

TEST_F(MatmulInt8, ABlockWithInfOrNanGivesNan) {
  TiledMatrix w(DataType::BFLOAT4_B, 2, 1);
  fill_with(w, normals(64 * 32));
  for (const float special : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> a = normals(2 * 64);
    a[40] = special;
    const std::vector<float> out = multiply(*tested, a, 2, w);
    EXPECT_TRUE(std::isnan(out[0]));
    EXPECT_FALSE(std::isnan(out[32]));
  }
}

TEST_F(MatmulInt8, ErrsByLessThanAHundredthOnNormalValues) {
  for (const std::int64_t tile_rows : {1, 8, 64}) {
    TiledMatrix w(DataType::BFLOAT4_B, tile_rows, 2);
    fill_with(w, normals(tile_rows * 32 * 64, 0.02F));
    const double relative = error(normals(40 * tile_rows * 32), 40, w);
    EXPECT_LT(relative, 0.008) << tile_rows;
    EXPECT_GT(relative, 1e-4) << "not the products of integers";
  }
}

TEST_F(MatmulInt8, ErrsByLessThanTwoHundredthsWithOutliers) {
  // One activation in 50 is 30 times as large.
  for (const std::int64_t tile_rows : {2, 64}) {
    TiledMatrix w(DataType::BFLOAT4_B, tile_rows, 2);
    fill_with(w, normals(tile_rows * 32 * 64, 0.02F));
    std::vector<float> a = normals(40 * tile_rows * 32);
    for (float& value : a) value *= random() % 50 == 0 ? 30.0F : 1.0F;
    EXPECT_LT(error(a, 40, w), 0.02) << tile_rows;
  }
}

} // namespace
} // namespace tessera::kernels
