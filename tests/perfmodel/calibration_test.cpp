// The model against the published tables, which lie outside the repository: the limits are those of
// docs/performance-model.md.
#include <gtest/gtest.h>

#include <cmath>

#include "tessera/perfmodel/calibration.hpp"

namespace tessera::perfmodel {
namespace {

namespace fs = std::filesystem;

class Calibration : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fs::is_directory(folder_)) GTEST_SKIP() << "no published tables in " << folder_ << "; set TESSERA_CALIBRATION";
  }

  template <typename Row, typename Choose>
  ErrorSummary errors_of(const std::vector<Row>& rows, Choose&& choose) const {
    std::vector<double> errors;
    for (const Row& row : rows) {
      if (choose(row)) errors.push_back(std::abs(predict_ns(row, constants()) / row.published_ns - 1));
    }
    return summarise(errors);
  }

  const fs::path folder_ = calibration_folder(TESSERA_SOURCE_DIR);
};

TEST_F(Calibration, TunedMatmulsAreWithin8Percent) {
  const auto rows = read_matmul_rows(folder_);
  for (const char* board : {"n150", "p150"}) {
    const ErrorSummary tuned =
        errors_of(rows, [&](const MatmulRow& row) { return row.problem.tuned && row.board == board; });
    EXPECT_GT(tuned.rows, 0U);
    EXPECT_LE(tuned.median, 0.08) << board;
    EXPECT_LE(tuned.p90, 0.30) << board;
  }
}

TEST_F(Calibration, DefaultMatmulsAreWithin15Percent) {
  const auto rows = read_matmul_rows(folder_);
  for (const char* board : {"n150", "p150"}) {
    const ErrorSummary untuned =
        errors_of(rows, [&](const MatmulRow& row) { return !row.problem.tuned && row.board == board; });
    EXPECT_GT(untuned.rows, 0U);
    EXPECT_LE(untuned.median, 0.15) << board;
    EXPECT_LE(untuned.p90, 0.30) << board;
  }
}

TEST_F(Calibration, TheGridOfAPublishedShapeIsFoundFromTheShape) {
  for (const MatmulRow& row : read_matmul_rows(folder_)) {
    const MatmulProblem& p = row.problem;
    EXPECT_EQ(natural_grid(p.m, p.k, p.n, board(row.board).arch), p.grid) << p.m << "x" << p.k << "x" << p.n;
  }
}

TEST_F(Calibration, SingleOpsAreWithin25Percent) {
  const auto rows = read_op_rows(folder_);
  EXPECT_GT(rows.size(), 100U);
  EXPECT_LE(errors_of(rows, [](const OpRow&) { return true; }).median, 0.25);
}

TEST(ErrorSummary, IsOfTheSortedErrors) {
  const ErrorSummary summary = summarise({0.4, 0.1, 0.3, 0.2});
  EXPECT_EQ(summary.rows, 4U);
  EXPECT_NEAR(summary.median, 0.25, 1e-12);
  EXPECT_EQ(summary.worst, 0.4);
  EXPECT_EQ(summarise({}).rows, 0U);
}

} // namespace
} // namespace tessera::perfmodel
