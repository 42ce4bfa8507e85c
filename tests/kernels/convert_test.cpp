#include <cstring>

#include "kernels_fixture.hpp"
#include "tessera/numerics/bfloat16.hpp"
#include "tessera/numerics/tile_codec.hpp"

namespace tessera::kernels {
namespace {

constexpr std::array kConvertible = {DataType::BFLOAT16, DataType::BFLOAT8_B, DataType::BFLOAT4_B, DataType::BFLOAT2_B};

class Convert : public KernelsTest {
 protected:
  /// 32 rows of bfloat16 patterns, `stride` apart, starting at an odd address.
  struct Rows {
    Rows(std::span<const std::uint16_t> patterns, std::int64_t stride) : bytes(patterns.size() * 2 + 1) {
      std::memcpy(bytes.data() + 1, patterns.data(), patterns.size() * 2);
      for (std::int64_t row = 0; row < 32; ++row) rows.push_back(bytes.data() + 1 + 2 * row * stride);
    }
    std::vector<std::byte> bytes;
    std::vector<const std::byte*> rows;
  };

  /// Patterns near a common magnitude, so that every distance from the shared exponent occurs.
  std::vector<std::uint16_t> spread_patterns(std::size_t count) {
    std::vector<std::uint16_t> patterns(count);
    for (std::uint16_t& pattern : patterns) {
      pattern = static_cast<std::uint16_t>((random() & 0x807F) | (100 + random() % 20) << 7);
    }
    return patterns;
  }
  std::vector<std::uint16_t> any_patterns(std::size_t count) {
    constexpr std::array<std::uint16_t, 10> kSpecials = {0,      0x8000, 1,      0x8001, 0x007F,
                                                         0x7F80, 0xFF80, 0x7FC0, 0xFF81, 0x7F7F};
    std::vector<std::uint16_t> patterns(count);
    for (std::uint16_t& pattern : patterns) {
      pattern = random() % 4 == 0 ? kSpecials[random() % kSpecials.size()] : static_cast<std::uint16_t>(random());
    }
    return patterns;
  }

  void expect_oracle(std::span<const std::uint16_t> patterns, std::int64_t lanes, std::int64_t depth, DataType dtype,
                     std::int64_t misalignment) {
    const std::int64_t tile_rows = (depth + 31) / 32;
    const Rows source(patterns, depth);
    TiledMatrix expected(dtype, tile_rows, 2, misalignment);
    TiledMatrix actual(dtype, tile_rows, 2, misalignment);
    // The slow way: widened, transposed, stored.
    for (std::int64_t tile_row = 0; tile_row < tile_rows; ++tile_row) {
      std::array<float, kTileElements> tile{};
      for (std::int64_t lane = 0; lane < lanes; ++lane) {
        for (std::int64_t k = 0; k < 32 && tile_row * 32 + k < depth; ++k) {
          tile[static_cast<std::size_t>(k * 32 + lane)] =
              numerics::from_bfloat16(patterns[static_cast<std::size_t>(lane * depth + tile_row * 32 + k)]);
        }
      }
      numerics::pack_tile(dtype, tile.data(), 32,
                          expected.tiles.data + tile_position(tile_rows, 2, tile_row, 1) * tile_bytes(dtype));
    }
    tested->convert_tile_column(source.rows.data(), lanes, depth, actual.tiles, 1);
    ASSERT_TRUE(std::ranges::equal(actual.fenced(), expected.fenced()))
        << to_string(dtype) << " lanes " << lanes << " depth " << depth;
  }
};

TEST_F(Convert, EqualsStoringTheWidenedValues) {
  for (const DataType dtype : kConvertible) {
    for (const std::int64_t lanes : {32, 1, 15, 16, 17, 31, 0}) {
      for (const std::int64_t depth : {32, 1, 31, 33, 64, 100, 160}) {
        const auto count = static_cast<std::size_t>(32 * depth);
        expect_oracle(any_patterns(count), lanes, depth, dtype, lanes % 2);
        expect_oracle(spread_patterns(count), lanes, depth, dtype, depth % 2);
      }
    }
  }
}

TEST_F(Convert, RoundsEveryPatternAtEveryDistance) {
  // Lane 0 and lane 16 set the exponents; the 31 lanes after them go through all patterns.
  for (const DataType dtype : kConvertible) {
    for (const std::uint32_t exponent : {0U, 1U, 5U, 127U, 254U, 255U}) {
      std::vector<std::uint16_t> patterns;
      for (std::uint32_t row = 0; row < 32; ++row) {
        for (std::uint32_t k = 0; k < 2200; ++k) {
          const std::uint32_t next = (row * 2200 + k) & 0xFFFF;
          const bool leads = row % 16 == 0;
          const bool above = (next >> 7 & 0xFF) > exponent;
          patterns.push_back(static_cast<std::uint16_t>(leads ? exponent << 7 : above ? next & 0x807F : next));
        }
      }
      expect_oracle(patterns, 32, 2200, dtype, 0);
    }
  }
}

TEST_F(Convert, RandomValuesEqualTheOracle) {
  for (const std::int64_t count : {0, 1, 15, 16, 17, 33, 1000}) {
    const std::int64_t first = count % 2 * 12345;
    for (const std::uint64_t key : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0x123456789ABCDEF0}}) {
      std::vector<std::byte> expected(static_cast<std::size_t>(2 * count + 1), std::byte{0xEE});
      std::vector<std::byte> actual = expected;
      oracle->random_bf16(key, first, count, expected.data());
      tested->random_bf16(key, first, count, actual.data());
      ASSERT_EQ(actual, expected) << count;
    }
  }
}

TEST_F(Convert, APieceOfASequenceIsThatPieceOfTheWhole) {
  std::vector<std::byte> whole(200);
  std::vector<std::byte> piece(60);
  tested->random_bf16(7, 0, 100, whole.data());
  tested->random_bf16(7, 50, 30, piece.data());
  EXPECT_TRUE(std::equal(piece.begin(), piece.end(), whole.begin() + 100));
}

TEST_F(Convert, RandomValuesAreRoughlyNormal) {
  constexpr std::int64_t kCount = 100'000;
  std::vector<std::uint16_t> patterns(kCount);
  tested->random_bf16(42, 0, kCount, reinterpret_cast<std::byte*>(patterns.data()));
  double sum = 0;
  double squares = 0;
  double fourths = 0;
  for (const std::uint16_t pattern : patterns) {
    const double value = numerics::from_bfloat16(pattern);
    sum += value;
    squares += value * value;
    fourths += value * value * value * value;
  }
  const double variance = squares / kCount;
  EXPECT_NEAR(sum / kCount, 0.0, 3e-4);
  EXPECT_NEAR(std::sqrt(variance), 0.02, 2e-4);
  EXPECT_NEAR(fourths / kCount / (variance * variance), 2.7, 0.1); // 3 is normal, 1.8 evenly distributed
}

} // namespace
} // namespace tessera::kernels
