#include <optional>

#include "kernels_fixture.hpp"

namespace tessera::kernels {
namespace {

/// What rounding a weight to bfloat16 and the power of two take away, relatively: half an ulp of 8 bits, and 2.9e-6.
constexpr double kWeightError = 0x1p-9 + 0x1p-18;
constexpr double kHalfUlp = 0x1p-24;

struct Range {
  std::int32_t first = 0;
  std::int32_t last = 0;
};

/// Attention of some query rows to `panels` tile rows of keys, folded in blocks of up to `block_panels`.
struct Problem {
  std::int64_t rows = 1;
  std::int64_t head_dim = 64;
  std::int64_t panels = 1;
  std::int64_t block_panels = kAttentionKeys / 32;
  DataType dtype = DataType::BFLOAT16;
  float scale = 0.125F;
  std::vector<float> q;                       // [rows, head_dim], bfloat16 values
  std::vector<float> k;                       // [panels * 32, head_dim]
  std::vector<float> v;                       // [panels * 32, head_dim]
  std::optional<std::vector<Range>> attended; // per row, of all keys; none: every row attends to all

  std::int64_t width() const { return (head_dim + 31) / 32 * 32; }
  Range range(std::int64_t row) const {
    return attended ? (*attended)[static_cast<std::size_t>(row)] : Range{0, static_cast<std::int32_t>(32 * panels)};
  }
};

struct Sums {
  Sums(std::int64_t rows, std::int64_t width)
      : reference(static_cast<std::size_t>(rows), kAttentionLowest),
        sum(static_cast<std::size_t>(rows * kAttentionSumLanes)),
        accumulator(static_cast<std::size_t>(rows * width)) {}
  AttentionSums view() { return {reference.data(), sum.data(), accumulator.data()}; }

  std::vector<float> reference, sum, accumulator;
};

/// Rows of values as tiles, and as floats what the tiles then hold.
std::vector<float> store_rows(const TiledMatrix& matrix, std::vector<float> values, std::int64_t head_dim) {
  const Kernels& scalar = *kernels_for("scalar");
  for (std::int64_t row = 0; row * head_dim < static_cast<std::int64_t>(values.size()); ++row) {
    scalar.store_row(matrix.tiles, row, values.data() + row * head_dim, head_dim);
    scalar.load_row(matrix.tiles, row, 0, head_dim, values.data() + row * head_dim);
  }
  return values;
}

void fold(const Kernels& table, const Problem& p, std::int64_t first_panel, std::int64_t last_panel, Sums& sums) {
  const std::int64_t width = p.width();
  const auto row_bytes = static_cast<std::size_t>(width * table.packed_bytes);
  TiledMatrix k(p.dtype, p.panels, width / 32);
  TiledMatrix v(p.dtype, p.panels, width / 32);
  store_rows(k, p.k, p.head_dim);
  store_rows(v, p.v, p.head_dim);
  std::vector<std::byte> q(static_cast<std::size_t>(p.rows) * row_bytes);
  for (std::int64_t row = 0; row < p.rows; ++row) {
    std::vector<float> values(static_cast<std::size_t>(width));
    std::copy_n(p.q.begin() + row * p.head_dim, p.head_dim, values.begin());
    table.pack_bf16(values.data(), width, q.data() + static_cast<std::size_t>(row) * row_bytes);
  }
  std::vector<std::byte> keys(static_cast<std::size_t>(kAttentionKeys) * row_bytes);
  std::vector<std::byte> values(keys.size());
  for (std::int64_t panel = first_panel; panel < last_panel; panel += p.block_panels) {
    PackedAttention block{.q = q.data(),
                          .rows = p.rows,
                          .head_dim = p.head_dim,
                          .width = width,
                          .keys = keys.data(),
                          .values = values.data(),
                          .scale = p.scale};
    for (std::int64_t i = panel; i < std::min(panel + p.block_panels, last_panel); ++i, block.count += 32) {
      // Asking changes nothing, whatever the number of lines.
      const auto ahead = [&](const TiledMatrix& matrix) { return Lines{matrix.tiles.data, i % 3 * 7}; };
      block.ask_with_keys = ahead(k);
      block.ask_with_values = ahead(v);
      table.attention_pack_keys({k.tiles, i}, ahead(k),
                                keys.data() + static_cast<std::size_t>(block.count) * row_bytes);
      table.attention_pack_values({v.tiles, i}, ahead(v), 0, 32,
                                  values.data() + static_cast<std::size_t>(block.count) * row_bytes);
    }
    std::vector<std::int32_t> first;
    std::vector<std::int32_t> last;
    for (std::int64_t row = 0; p.attended && row < p.rows; ++row) {
      const auto within = [&](std::int32_t key) {
        return static_cast<std::int32_t>(std::clamp<std::int64_t>(key - panel * 32, 0, block.count));
      };
      first.push_back(within(p.range(row).first));
      last.push_back(within(p.range(row).last));
    }
    if (p.attended) {
      block.first = first.data();
      block.last = last.data();
    }
    table.attention_bf16(sums.view(), block);
  }
}

std::vector<float> divide(const Kernels& table, const Problem& p, Sums& sums) {
  std::vector<float> padded(static_cast<std::size_t>(p.rows * p.width()), 7.0F);
  table.attention_divide(sums.view(), p.rows, p.width(), padded.data());
  std::vector<float> out;
  for (std::int64_t row = 0; row < p.rows; ++row) {
    const auto begin = padded.begin() + row * p.width();
    out.insert(out.end(), begin, begin + p.head_dim);
    EXPECT_TRUE(std::all_of(begin + p.head_dim, begin + p.width(), [](float value) { return value == 0.0F; }));
  }
  return out;
}

std::vector<float> run(const Kernels& table, const Problem& p) {
  Sums sums(p.rows, p.width());
  fold(table, p, 0, p.panels, sums);
  return divide(table, p, sums);
}

/// Compares with softmax(scale q k^T) v in double. A score is off by half an ulp for each of its terms' magnitudes,
/// which changes a weight by that factor; the weight itself is rounded; numerator and denominator have all of that.
void expect_near_double(const std::vector<float>& actual, const Problem& p) {
  const auto width = static_cast<std::size_t>(p.head_dim);
  TiledMatrix tiles(p.dtype, p.panels, p.width() / 32);
  const std::vector<float> k = store_rows(tiles, p.k, p.head_dim);
  const std::vector<float> v = store_rows(tiles, p.v, p.head_dim);
  for (std::size_t row = 0; row < static_cast<std::size_t>(p.rows); ++row) {
    const Range range = p.range(static_cast<std::int64_t>(row));
    std::vector<double> weights;
    double most = -INFINITY;
    double largest = 0;
    for (std::int32_t j = range.first; j < range.last; ++j) {
      double score = 0;
      double magnitude = 0;
      for (std::size_t d = 0; d < width; ++d) {
        const double term = static_cast<double>(p.q[row * width + d]) * k[static_cast<std::size_t>(j) * width + d];
        score += term * p.scale;
        magnitude += std::fabs(term * p.scale);
      }
      weights.push_back(score);
      most = std::max(most, score);
      largest = std::max(largest, magnitude);
    }
    double sum = 0;
    for (double& weight : weights) sum += weight = std::exp(weight - most);
    const double error = kWeightError + kHalfUlp * ((static_cast<double>(width) + 4) * largest +
                                                    static_cast<double>(weights.size()) + 16);
    for (std::size_t d = 0; d < width; ++d) {
      double value = 0;
      double magnitude = 0;
      for (std::size_t j = 0; j < weights.size(); ++j) {
        const double term = weights[j] / sum * v[(static_cast<std::size_t>(range.first) + j) * width + d];
        value += term;
        magnitude += std::fabs(term);
      }
      ASSERT_NEAR(actual[row * width + d], value, 2 * error * magnitude + 1e-30)
          << "row " << row << " of " << p.rows << ", element " << d << " of " << p.head_dim;
    }
  }
}

class AttentionBf16 : public KernelsTest {
 protected:
  std::vector<float> bf16_normals(std::int64_t count, float deviation = 1.0F) {
    std::vector<float> values = normals(count, deviation);
    for (float& value : values) value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & 0xFFFF0000);
    return values;
  }
  Problem random_problem(std::int64_t rows, std::int64_t head_dim, std::int64_t panels,
                         DataType dtype = DataType::BFLOAT16) {
    return {.rows = rows,
            .head_dim = head_dim,
            .panels = panels,
            .dtype = dtype,
            .q = bf16_normals(rows * head_dim, 3.0F),
            .k = bf16_normals(panels * 32 * head_dim),
            .v = bf16_normals(panels * 32 * head_dim)};
  }
  /// Ranges that differ from row to row, some of them empty.
  void mask_randomly(Problem& p) {
    const auto keys = static_cast<std::uint32_t>(32 * p.panels + 1);
    p.attended.emplace();
    for (std::int64_t row = 0; row < p.rows; ++row) {
      p.attended->push_back({static_cast<std::int32_t>(random() % keys), static_cast<std::int32_t>(random() % keys)});
    }
  }
};

TEST_F(AttentionBf16, IsSoftmaxOfTheScoresTimesTheValues) {
  for (const std::int64_t head_dim : {1, 2, 7, 8, 16, 17, 32, 33, 48, 64, 80, 128, 256}) {
    for (const std::int64_t rows : {1, 3, 4, 8, 13, 32, 71}) {
      const Problem p = random_problem(rows, head_dim, rows % 2 == 0 ? 3 : 5);
      expect_near_double(run(*tested, p), p);
    }
  }
  const Problem p = random_problem(13, 48, 5);
  expect_near_double(run(*oracle, p), p);
}

TEST_F(AttentionBf16, TakesEveryFormatThatWidensToBfloat16) {
  for (const DataType dtype : {DataType::BFLOAT8_B, DataType::BFLOAT4_B, DataType::BFLOAT2_B}) {
    for (const std::int64_t head_dim : {40, 64}) {
      Problem p = random_problem(5, head_dim, 3, dtype);
      expect_near_double(run(*tested, p), p);
      expect_near_double(run(*oracle, p), p);
      // The same values in bfloat16 give the same bits.
      const std::vector<float> blocks = run(*tested, p);
      TiledMatrix tiles(dtype, p.panels, p.width() / 32);
      p.k = store_rows(tiles, p.k, head_dim);
      p.v = store_rows(tiles, p.v, head_dim);
      p.dtype = DataType::BFLOAT16;
      EXPECT_EQ(bits_of(run(*tested, p)), bits_of(blocks));
    }
  }
}

TEST_F(AttentionBf16, WidensBlocksOfEveryExponent) {
  // Block formats reach below the normal numbers of bfloat16: what lies there counts as zero.
  for (std::int32_t exponent = -126; exponent <= 60; exponent += 3) {
    Problem p = random_problem(1, 32, 1, DataType::BFLOAT8_B);
    for (float& value : p.v) value = std::ldexp(value, exponent);
    const std::vector<float> actual = run(*tested, p);
    const std::vector<float> expected = run(*oracle, p);
    for (std::size_t d = 0; d < 32; ++d)
      ASSERT_NEAR(actual[d], expected[d], std::ldexp(4 * kWeightError, exponent) + 1e-37) << exponent;
  }
}

TEST_F(AttentionBf16, AttendsOnlyToTheRangeOfEachRow) {
  for (int repeat = 0; repeat < 10; ++repeat) {
    Problem p = random_problem(32, 48, 1 + repeat);
    mask_randomly(p);
    expect_near_double(run(*tested, p), p);
    if (repeat < 4) expect_near_double(run(*oracle, p), p);
  }
}

TEST_F(AttentionBf16, KeysOutsideTheRangeHaveNoPartWhateverTheyHold) {
  for (const Range range : {Range{3, 20}, Range{0, 33}, Range{31, 32}, Range{10, 64}}) {
    for (const float junk : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      Problem clean = random_problem(5, 40, 2);
      clean.attended = std::vector<Range>(5, range);
      Problem dirty = clean;
      for (std::size_t i = 0; i < dirty.k.size(); ++i) {
        const auto key = static_cast<std::int32_t>(i / 40);
        if (key < range.first || key >= range.last) dirty.k[i] = dirty.v[i] = junk;
      }
      EXPECT_EQ(run(*tested, dirty), run(*tested, clean));
      EXPECT_EQ(run(*oracle, dirty), run(*oracle, clean));
    }
  }
}

TEST_F(AttentionBf16, PackedValuesOutsideTheRangeAreZero) {
  const std::int64_t head_dim = 48;
  TiledMatrix dirty(DataType::BFLOAT16, 2, 2);
  TiledMatrix clean(DataType::BFLOAT16, 2, 2);
  for (const Range range : {Range{0, 32}, Range{5, 32}, Range{0, 31}, Range{7, 8}, Range{-9, 3}, Range{30, 99}}) {
    std::vector<float> values = bf16_normals(64 * head_dim);
    for (std::int64_t row = 0; row < 64; ++row) {
      const bool inside = row - 32 >= range.first && row - 32 < range.last;
      const std::vector<float> nan(static_cast<std::size_t>(head_dim), std::numeric_limits<float>::quiet_NaN());
      const std::vector<float> zeros(static_cast<std::size_t>(head_dim));
      oracle->store_row(dirty.tiles, row, inside ? values.data() + row * head_dim : nan.data(), head_dim);
      oracle->store_row(clean.tiles, row, inside ? values.data() + row * head_dim : zeros.data(), head_dim);
    }
    std::vector<std::byte> panels[2];
    for (std::vector<std::byte>& panel : panels) panel.resize(static_cast<std::size_t>(32 * 64 * tested->packed_bytes));
    tested->attention_pack_values({dirty.tiles, 1}, {}, range.first, range.last, panels[0].data());
    tested->attention_pack_values({clean.tiles, 1}, {}, 0, 32, panels[1].data());
    EXPECT_EQ(panels[0], panels[1]) << range.first << " to " << range.last;
  }
}

TEST_F(AttentionBf16, GivesARowTheSameBitsAloneAndInABatch) {
  for (std::int64_t rows = 1; rows <= 32; rows += 3) {
    Problem batch = random_problem(rows, 64, 5);
    if (rows % 2 == 0) mask_randomly(batch);
    const std::vector<float> together = run(*tested, batch);
    for (std::int64_t row = 0; row < rows; ++row) {
      Problem alone = batch;
      alone.rows = 1;
      alone.q.assign(batch.q.begin() + row * 64, batch.q.begin() + row * 64 + 64);
      if (batch.attended) alone.attended = std::vector<Range>{batch.range(row)};
      ASSERT_EQ(run(*tested, alone), std::vector<float>(together.begin() + row * 64, together.begin() + row * 64 + 64));
    }
  }
}

TEST_F(AttentionBf16, PartsMergeToTheWhole) {
  for (const std::int64_t cut : {0, 1, 3, 6}) {
    Problem p = random_problem(5, 48, 6);
    p.attended = std::vector<Range>(5, Range{20, 150}); // the last cuts leave parts without keys
    Sums first(p.rows, p.width());
    Sums second(p.rows, p.width());
    fold(*tested, p, 0, cut, first);
    fold(*tested, p, cut, 6, second);
    tested->attention_merge(first.view(), second.view(), p.rows, p.width());
    expect_near_double(divide(*tested, p, first), p);
  }
}

TEST_F(AttentionBf16, LeavesRowsWithoutKeysAtZero) {
  Problem p = random_problem(3, 16, 2);
  p.attended = std::vector<Range>{{0, 64}, {5, 5}, {3, 40}};
  const std::vector<float> out = run(*tested, p);
  for (std::size_t d = 0; d < 16; ++d) EXPECT_EQ(out[16 + d], 0.0F);
  EXPECT_NE(out[0], 0.0F);
  EXPECT_NE(out[32], 0.0F);
}

TEST_F(AttentionBf16, OneKeyGivesItsValueItself) {
  Problem p = random_problem(4, 32, 1);
  p.attended = std::vector<Range>{{0, 1}, {7, 8}, {30, 31}, {31, 32}};
  const std::vector<float> out = run(*tested, p);
  for (std::int64_t row = 0; row < 4; ++row) {
    const auto value = p.v.begin() + p.range(row).first * 32;
    EXPECT_EQ(std::vector<float>(out.begin() + row * 32, out.begin() + row * 32 + 32),
              std::vector<float>(value, value + 32));
  }
}

TEST_F(AttentionBf16, FollowsScoresThatGrowFromBlockToBlock) {
  for (const float growth : {1.0F, 4.0F, 30.0F, -30.0F}) {
    Problem p = random_problem(14, 32, 8);
    p.block_panels = 1;
    for (std::size_t i = 0; i < p.k.size(); ++i) {
      // Every query has a 1 at its front: keys shift all scores of their block there.
      if (i % 32 == 0) p.k[i] = growth * static_cast<float>(i / (32 * 32));
    }
    for (std::size_t row = 0; row < 14; ++row) p.q[row * 32] = 8.0F;
    expect_near_double(run(*tested, p), p);
    expect_near_double(run(*oracle, p), p);
  }
}

TEST_F(AttentionBf16, SurvivesLargeScores) {
  Problem p = random_problem(4, 32, 3);
  for (float& value : p.q) value *= 1024;
  for (const float value : run(*tested, p)) EXPECT_TRUE(std::isfinite(value));
}

TEST_F(AttentionBf16, ANaNAmongTheKeysShows) {
  Problem p = random_problem(2, 32, 2);
  p.k[40 * 32] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(run(*tested, p)[0]));
}

} // namespace
} // namespace tessera::kernels
