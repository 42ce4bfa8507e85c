#include <array>

#include "kernels_fixture.hpp"
#include "tessera/numerics/bfloat16.hpp"

namespace tessera::kernels {
namespace {

constexpr std::int64_t kMostRows = 33;

class Matmul : public KernelsTest {
 protected:
  /// Weights of `tile_rows` x 2 tiles with normally distributed values.
  void fill_normally(TiledMatrix& w, float deviation = 0.02F) {
    for (std::int64_t r = 0; r < w.tiles.tile_rows; ++r) {
      for (std::int64_t c = 0; c < w.tiles.tile_columns; ++c) {
        oracle->store_tile(w.tiles, r, c, kTileHeight, normals(kTileElements, deviation).data(), kTileWidth);
      }
    }
  }
  void expect_oracle(const std::vector<float>& a, std::int64_t stride, std::int64_t depth, const TiledMatrix& w) {
    for (std::int64_t column = 0; column < w.tiles.tile_columns; ++column) {
      std::vector<float> expected(kMostRows * 32);
      oracle->matmul_tile_column(a.data(), stride, kMostRows, depth, w.tiles, column, expected.data());
      for (const std::int64_t m : {0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 24, 25, 32, 33}) {
        std::vector<float> actual(static_cast<std::size_t>(m * 32 + 2), 7.0F);
        tested->matmul_tile_column(a.data(), stride, m, depth, w.tiles, column, actual.data() + 1);
        ASSERT_EQ(bits_of(std::span(actual).subspan(1, static_cast<std::size_t>(m * 32))),
                  bits_of(std::span(expected).first(static_cast<std::size_t>(m * 32))))
            << to_string(w.tiles.dtype) << " m " << m << " depth " << depth << " column " << column;
        ASSERT_EQ(actual.front(), 7.0F);
        ASSERT_EQ(actual.back(), 7.0F);
      }
    }
  }
};

TEST_F(Matmul, EqualsTheOracleForEveryShape) {
  for (const DataType dtype : kFormats) {
    for (const std::int64_t depth : {0, 1, 15, 16, 17, 31, 32, 33, 64, 127, 128, 129, 160, 300}) {
      TiledMatrix w(dtype, (depth + 31) / 32, 2, depth % 2);
      fill_normally(w);
      const std::int64_t stride = depth + 3;
      expect_oracle(normals(kMostRows * stride), stride, depth, w);
    }
  }
}

TEST_F(Matmul, EqualsTheOracleForAnyBytesOfWeights) {
  for (const DataType dtype : kFormats) {
    for (int repeat = 0; repeat < 6; ++repeat) {
      TiledMatrix w(dtype, 3, 1);
      std::vector<std::byte> content = any_bytes(w.bytes());
      // Exponents just inside and just outside of the range where a scale can be multiplied.
      for (std::size_t g = 0; repeat % 2 == 1 && g < 64; ++g) {
        content[g] = static_cast<std::byte>(repeat == 1 ? g % 9 : 255 - g % 3);
      }
      w.fill(content);
      expect_oracle(normals(kMostRows * 96), 96, 96, w);
      expect_oracle(normals(kMostRows * 96, 1e-30F), 96, 96, w);
    }
  }
}

TEST_F(Matmul, EqualsTheOracleForSpecialActivations) {
  for (const DataType dtype : kFormats) {
    TiledMatrix w(dtype, 2, 1);
    fill_normally(w);
    expect_oracle(any_floats(kMostRows * 64), 64, 64, w);
  }
}

TEST_F(Matmul, IgnoresWhatLiesBeyondTheDepth) {
  for (const DataType dtype : kFormats) {
    TiledMatrix w(dtype, 2, 1);
    fill_normally(w);
    std::vector<float> a = normals(kMostRows * 64);
    std::vector<float> expected(kMostRows * 32);
    tested->matmul_tile_column(a.data(), 64, kMostRows, 40, w.tiles, 0, expected.data());
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (i % 64 >= 40) a[i] = std::numeric_limits<float>::quiet_NaN();
    }
    std::vector<float> actual(kMostRows * 32);
    tested->matmul_tile_column(a.data(), 64, kMostRows, 40, w.tiles, 0, actual.data());
    EXPECT_EQ(bits_of(actual), bits_of(expected)) << to_string(dtype);
  }
}

TEST_F(Matmul, GivesARowTheSameBitsAloneAndInABatch) {
  for (const DataType dtype : kFormats) {
    TiledMatrix w(dtype, 9, 1);
    fill_normally(w);
    const std::int64_t depth = 9 * 32;
    const std::vector<float> a = normals(32 * depth);
    for (std::int64_t m = 1; m <= 32; ++m) {
      std::vector<float> batch(static_cast<std::size_t>(m * 32));
      tested->matmul_tile_column(a.data(), depth, m, depth, w.tiles, 0, batch.data());
      for (std::int64_t i = 0; i < m; ++i) {
        std::array<float, 32> alone{};
        tested->matmul_tile_column(a.data() + i * depth, depth, 1, depth, w.tiles, 0, alone.data());
        ASSERT_EQ(bits_of(std::span(batch).subspan(static_cast<std::size_t>(i * 32), 32)), bits_of(alone));
      }
    }
  }
}

TEST_F(Matmul, IsTheProductOfTheStoredValues) {
  for (const DataType dtype : kFormats) {
    TiledMatrix w(dtype, 4, 2);
    fill_normally(w);
    const std::vector<float> a = normals(128);
    std::array<float, 32> out{};
    tested->matmul_tile_column(a.data(), 128, 1, 128, w.tiles, 1, out.data());
    for (std::size_t j = 0; j < 32; ++j) {
      double sum = 0;
      double magnitude = 0;
      for (std::int64_t k = 0; k < 128; ++k) {
        float weight = 0;
        oracle->load_row(w.tiles, k, static_cast<std::int64_t>(32 + j), 1, &weight);
        sum += static_cast<double>(a[static_cast<std::size_t>(k)]) * weight;
        magnitude += std::abs(static_cast<double>(a[static_cast<std::size_t>(k)]) * weight);
      }
      // 128 roundings of at most half an ulp (2^-24) of the running sum.
      EXPECT_NEAR(out[j], sum, magnitude * 128 * 6e-8) << to_string(dtype);
    }
  }
}

// Activations of bfloat16: pairs of steps, the odd one first.
class MatmulBf16 : public Matmul {
 protected:
  static constexpr std::array kWeights = {DataType::BFLOAT16, DataType::BFLOAT8_B, DataType::BFLOAT4_B};

  static std::vector<std::byte> pack(const Kernels& isa, const std::vector<float>& a, std::int64_t rows,
                                     std::int64_t depth, std::int64_t stride) {
    std::vector<std::byte> packed(static_cast<std::size_t>(rows * stride));
    for (std::int64_t row = 0; row < rows; ++row)
      isa.pack_bf16(a.data() + row * depth, depth, packed.data() + row * stride);
    return packed;
  }
  static std::vector<float> rounded(std::vector<float> values) {
    for (float& value : values) value = numerics::from_bfloat16(numerics::to_bfloat16(value));
    return values;
  }
  /// Products of m rows with every column of w: [columns, m, 32].
  static std::vector<float> multiply(const Kernels& isa, const std::vector<float>& a, std::int64_t m,
                                     const TiledMatrix& w) {
    return multiply(isa, a, m, w, 0, w.tiles.tile_columns);
  }
  /// The same for `columns` columns from `first` on.
  static std::vector<float> multiply(const Kernels& isa, const std::vector<float>& a, std::int64_t m,
                                     const TiledMatrix& w, std::int64_t first, std::int64_t columns) {
    const std::int64_t depth = w.tiles.tile_rows * 32;
    const std::int64_t stride = depth * isa.packed_bytes + 64;
    const std::vector<std::byte> packed = pack(isa, a, m, depth, stride);
    std::vector<float> out(static_cast<std::size_t>(columns * m * 32));
    isa.matmul_bf16_tile_columns(packed.data(), stride, m, depth, w.tiles, first, columns, out.data());
    return out;
  }
  void expect_oracle_for(const std::vector<float>& a, const TiledMatrix& w) {
    for (const std::int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 24, 25, 32, 33}) {
      // By value: the sign of a zero that was a denormal is nobody's concern.
      ASSERT_EQ(multiply(*tested, a, m, w), multiply(*oracle, a, m, w)) << to_string(w.tiles.dtype) << " m " << m;
    }
  }
};

TEST_F(MatmulBf16, EqualsTheOracleForEveryShape) {
  for (const DataType dtype : kWeights) {
    for (const std::int64_t tile_rows : {1, 2, 7, 8, 9, 17}) {
      TiledMatrix w(dtype, tile_rows, 3, tile_rows % 2);
      fill_normally(w);
      expect_oracle_for(rounded(normals(kMostRows * tile_rows * 32)), w);
    }
  }
}

TEST_F(MatmulBf16, EqualsTheOracleForExponentsAtTheEdges) {
  for (const DataType dtype : {DataType::BFLOAT8_B, DataType::BFLOAT4_B}) {
    for (const int lowest : {0, 1, 6, 7, 8, 20, 240, 250}) {
      TiledMatrix w(dtype, 3, 1);
      std::vector<std::byte> content = any_bytes(w.bytes());
      for (std::size_t tile = 0; tile < 3; ++tile) {
        for (std::size_t g = 0; g < 64; ++g)
          content[tile * content.size() / 3 + g] = static_cast<std::byte>(lowest + static_cast<int>(g % 5));
      }
      w.fill(content);
      for (const float spread : {1.0F, 1e-37F, 1e-30F, 1e3F})
        expect_oracle_for(rounded(normals(kMostRows * 96, spread)), w);
    }
  }
}

TEST_F(MatmulBf16, TakesAnyRunOfColumns) {
  for (const DataType dtype : kWeights) {
    for (const std::int64_t tile_columns : {1, 4, 5}) {
      TiledMatrix w(dtype, 3, tile_columns);
      fill_normally(w);
      const std::vector<float> a = rounded(normals(9 * 96));
      for (std::int64_t m = 1; m <= 9; ++m) {
        for (std::int64_t first = 0; first < tile_columns; ++first) {
          for (std::int64_t columns = 1; first + columns <= tile_columns; ++columns) {
            ASSERT_EQ(multiply(*tested, a, m, w, first, columns), multiply(*oracle, a, m, w, first, columns))
                << to_string(dtype) << " m " << m << " columns " << first << " + " << columns << " of " << tile_columns;
          }
        }
      }
    }
  }
}

TEST_F(MatmulBf16, EqualsTheOracleForGroupsOfZerosAndAMixOfTiles) {
  for (const DataType dtype : {DataType::BFLOAT8_B, DataType::BFLOAT4_B}) {
    TiledMatrix w(dtype, 4, 3);
    fill_normally(w);
    // An exponent of 0, as zeros have it, with any codes; and in some tiles one that no activation can be scaled by.
    for (std::int64_t tile = 0; tile < 12; ++tile) {
      std::byte* const exponents = w.tiles.data + tile * tile_bytes(dtype);
      for (std::size_t g = static_cast<std::size_t>(tile); g < 64; g += 7) exponents[g] = std::byte{0};
      if (tile % 3 == 1) exponents[tile * 5] = std::byte{3};
    }
    expect_oracle_for(rounded(normals(kMostRows * 128)), w);
  }
}

TEST_F(MatmulBf16, EqualsTheOracleForSpecialActivations) {
  for (const DataType dtype : kWeights) {
    // Small weights: scaled by their shared exponents, Inf must stay Inf.
    TiledMatrix w(dtype, 2, 2);
    fill_normally(w, 0.002F);
    for (const float special : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                                std::numeric_limits<float>::quiet_NaN(), 0.0F, 3e38F, 1e-38F, 1e-39F}) {
      for (const std::int64_t m : {1, 2, 3, 4, 5, 8, 9}) {
        std::vector<float> a = normals(m * 64);
        for (std::size_t i = 5; i < a.size(); i += 37) a[i] = special;
        a = rounded(a);
        // By value where there is one; the sign of a zero is nobody's concern.
        std::vector<float> actual = multiply(*tested, a, m, w);
        std::vector<float> expected = multiply(*oracle, a, m, w);
        for (float& value : actual) value += 0.0F;
        for (float& value : expected) value += 0.0F;
        ASSERT_EQ(bits_of(actual), bits_of(expected)) << to_string(dtype) << " m " << m << " with " << special;
      }
    }
  }
}

TEST_F(MatmulBf16, TakesDenormalsAsZero) {
  for (const DataType dtype : kWeights) {
    TiledMatrix w(dtype, 1, 1);
    fill_normally(w);
    const std::vector<float> denormals(32, 1e-39F);
    EXPECT_EQ(multiply(*tested, rounded(denormals), 1, w), std::vector<float>(32, 0.0F)) << to_string(dtype);
  }
}

TEST_F(MatmulBf16, GivesARowTheSameBitsAloneAndInABatch) {
  for (const DataType dtype : kWeights) {
    TiledMatrix w(dtype, 9, 1);
    fill_normally(w);
    const std::int64_t depth = 9 * 32;
    const std::vector<float> a = rounded(normals(32 * depth));
    const std::vector<float> batch = multiply(*tested, a, 32, w);
    for (std::int64_t i = 0; i < 32; ++i) {
      const std::vector<float> row(a.begin() + i * depth, a.begin() + (i + 1) * depth);
      ASSERT_EQ(bits_of(std::span(batch).subspan(static_cast<std::size_t>(i * 32), 32)),
                bits_of(multiply(*tested, row, 1, w)));
    }
  }
}

} // namespace
} // namespace tessera::kernels
