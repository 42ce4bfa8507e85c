#include "kernels_fixture.hpp"

namespace tessera::kernels {
namespace {

constexpr std::int64_t kKeys = 32;

struct Range {
  std::int32_t first = 0;
  std::int32_t last = kKeys;
};

/// Attention of some query rows to blocks of 32 keys, folded in one after another.
struct Problem {
  std::int64_t rows = 1;
  std::int64_t head_dim = 64;
  float scale = 0.125F;
  std::vector<float> q;                     // [rows, head_dim]
  std::vector<std::vector<float>> keys;     // per block [32, head_dim]
  std::vector<std::vector<float>> values;   // per block [32, head_dim]
  std::vector<std::vector<Range>> attended; // per block [rows]
};

class Attention : public KernelsTest {
 protected:
  Problem random_problem(std::int64_t rows, std::int64_t head_dim, std::int64_t blocks) {
    Problem p{.rows = rows, .head_dim = head_dim, .q = normals(rows * head_dim, 3.0F)};
    for (std::int64_t b = 0; b < blocks; ++b) {
      p.keys.push_back(normals(kKeys * head_dim));
      p.values.push_back(normals(kKeys * head_dim));
      p.attended.emplace_back(static_cast<std::size_t>(rows));
    }
    return p;
  }
  /// Ranges that differ from row to row, some of them empty.
  void mask_randomly(Problem& p) {
    for (std::vector<Range>& ranges : p.attended) {
      for (Range& range : ranges) {
        range.first = static_cast<std::int32_t>(random() % 33);
        range.last = static_cast<std::int32_t>(random() % 33);
      }
    }
  }
};

std::vector<float> run(const Kernels& table, const Problem& p) {
  const auto size = static_cast<std::size_t>(p.rows * p.head_dim);
  std::vector<float> maximum(static_cast<std::size_t>(p.rows), -std::numeric_limits<float>::infinity());
  std::vector<float> sum(static_cast<std::size_t>(p.rows));
  std::vector<float> accumulator(size);
  const AttentionState state{maximum.data(), sum.data(), accumulator.data()};
  for (std::size_t b = 0; b < p.keys.size(); ++b) {
    std::vector<float> transposed(p.keys[b].size());
    const auto head_dim = static_cast<std::size_t>(p.head_dim);
    for (std::size_t j = 0; j < 32; ++j) {
      for (std::size_t d = 0; d < head_dim; ++d) transposed[d * 32 + j] = p.keys[b][j * head_dim + d];
    }
    std::vector<std::int32_t> first;
    std::vector<std::int32_t> last;
    for (const Range& range : p.attended[b]) {
      first.push_back(range.first);
      last.push_back(range.last);
    }
    table.attention_block(state, {.q = p.q.data(),
                                  .rows = p.rows,
                                  .head_dim = p.head_dim,
                                  .k_transposed = transposed.data(),
                                  .v = p.values[b].data(),
                                  .first = first.data(),
                                  .last = last.data(),
                                  .scale = p.scale});
  }
  std::vector<float> out(size, 7.0F);
  table.attention_finish(state, p.rows, p.head_dim, out.data());
  return out;
}

/// softmax(scale q k^T) v over all attended keys, in double.
std::vector<double> naive(const Problem& p) {
  std::vector<double> out(static_cast<std::size_t>(p.rows * p.head_dim));
  const auto width = static_cast<std::size_t>(p.head_dim);
  for (std::size_t row = 0; row < static_cast<std::size_t>(p.rows); ++row) {
    double sum = 0;
    for (std::size_t b = 0; b < p.keys.size(); ++b) {
      for (std::int32_t j = p.attended[b][row].first; j < p.attended[b][row].last; ++j) {
        const std::size_t key = static_cast<std::size_t>(j) * width;
        double score = 0;
        for (std::size_t d = 0; d < width; ++d) score += static_cast<double>(p.q[row * width + d]) * p.keys[b][key + d];
        const double weight = std::exp(score * p.scale);
        sum += weight;
        for (std::size_t d = 0; d < width; ++d) out[row * width + d] += weight * p.values[b][key + d];
      }
    }
    for (std::size_t d = 0; d < width && sum != 0; ++d) out[row * width + d] /= sum;
  }
  return out;
}

void expect_near(const std::vector<float>& actual, const std::vector<double>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    // Scores of up to about 30 with an error of some 1e-6 shift the weights by as much, relatively.
    ASSERT_NEAR(actual[i], expected[i], 2e-5) << "element " << i;
  }
}

TEST_F(Attention, IsSoftmaxOfTheScoresTimesTheValues) {
  for (const std::int64_t head_dim : {1, 2, 7, 8, 15, 16, 17, 32, 33, 48, 64, 72, 80, 128}) {
    for (const std::int64_t rows : {1, 4, 13, 32}) {
      const Problem p = random_problem(rows, head_dim, 3);
      expect_near(run(*tested, p), naive(p));
      expect_near(run(*oracle, p), naive(p));
    }
  }
}

TEST_F(Attention, AttendsOnlyToTheRangeOfEachRow) {
  for (int repeat = 0; repeat < 10; ++repeat) {
    Problem p = random_problem(32, 48, 3);
    mask_randomly(p);
    expect_near(run(*tested, p), naive(p));
    expect_near(run(*oracle, p), naive(p));
  }
}

TEST_F(Attention, NeverReadsMeaningIntoKeysOutsideTheRange) {
  Problem clean = random_problem(5, 40, 2);
  for (std::vector<Range>& ranges : clean.attended) std::ranges::fill(ranges, Range{3, 20});
  Problem dirty = clean;
  for (std::size_t b = 0; b < 2; ++b) {
    for (std::size_t i = 0; i < dirty.keys[b].size(); ++i) {
      if (i / 40 >= 3 && i / 40 < 20) continue;
      dirty.keys[b][i] = std::numeric_limits<float>::quiet_NaN();
      dirty.values[b][i] = std::numeric_limits<float>::quiet_NaN();
    }
  }
  EXPECT_EQ(run(*tested, dirty), run(*tested, clean));
}

TEST_F(Attention, GivesARowTheSameBitsAloneAndInABatch) {
  for (std::int64_t rows = 1; rows <= 32; ++rows) {
    Problem batch = random_problem(rows, 64, 2);
    if (rows % 2 == 0) mask_randomly(batch);
    const std::vector<float> together = run(*tested, batch);
    for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
      Problem alone = batch;
      alone.rows = 1;
      alone.q.assign(batch.q.begin() + static_cast<std::ptrdiff_t>(row * 64),
                     batch.q.begin() + static_cast<std::ptrdiff_t>(row * 64 + 64));
      for (std::size_t b = 0; b < 2; ++b) alone.attended[b] = {batch.attended[b][row]};
      ASSERT_EQ(bits_of(run(*tested, alone)), bits_of(std::span(together).subspan(row * 64, 64)));
    }
  }
}

TEST_F(Attention, LeavesRowsWithoutKeysAtZero) {
  Problem p = random_problem(3, 16, 2);
  for (std::vector<Range>& ranges : p.attended) ranges[1] = {5, 5};
  const std::vector<float> out = run(*tested, p);
  for (std::size_t d = 0; d < 16; ++d) EXPECT_EQ(out[16 + d], 0.0F);
  EXPECT_NE(out[0], 0.0F);
}

TEST_F(Attention, SurvivesLargeScores) {
  Problem p = random_problem(4, 32, 3);
  for (float& value : p.q) value *= 100;
  for (const float value : run(*tested, p)) EXPECT_TRUE(std::isfinite(value));
}

} // namespace
} // namespace tessera::kernels
