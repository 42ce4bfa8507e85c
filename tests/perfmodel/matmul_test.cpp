#include <gtest/gtest.h>

#include "tessera/perfmodel/matmul.hpp"

namespace tessera::perfmodel {
namespace {

const ArchSpec& n150() {
  return board("n150").arch;
}

MatmulProblem problem(std::int64_t m, std::int64_t k, std::int64_t n, DataType dtype = DataType::BFLOAT16) {
  return {.m = m, .k = k, .n = n, .dtype = dtype, .in0_dtype = dtype, .output_dtype = dtype, .in0_in_l1 = true};
}

double time_of(const MatmulProblem& problem, Launch launch = Launch::TRACED) {
  return predict_matmul(problem, n150(), launch, constants()).time_ns;
}

// The blocks of TT-NN's benchmark, test_benchmark.py: per-core extents for an 8x8 grid, in tiles.
TEST(MatmulConfig, OfTunedShapesIsTheBenchmarks) {
  const MatmulConfig config = configure(problem(2048, 2048, 2048), n150());
  EXPECT_EQ(config.per_core_m, 8);
  EXPECT_EQ(config.per_core_n, 8);
  EXPECT_EQ(config.in0_block_w, 8);
  EXPECT_EQ(config.out_blocks_h * config.out_blocks_w, 1);
  EXPECT_EQ(config.subblock_h, 1); // sharded results leave row by row
  EXPECT_EQ(config.subblock_w, 8);
  EXPECT_EQ(config.cores, 64);
}

TEST(MatmulConfig, StepsShrinkWhereL1IsTooSmall) {
  const MatmulConfig small = configure(problem(1024, 2048, 2048), n150());
  const MatmulConfig large = configure(problem(3072, 3072, 3072), n150());
  EXPECT_EQ(small.in0_block_w, 8);
  EXPECT_LT(large.in0_block_w, 12);
  MatmulProblem huge = problem(8192, 8192, 8192);
  huge.in0_in_l1 = false;
  EXPECT_GT(configure(huge, n150()).out_blocks_h, 1);
}

TEST(MatmulConfig, OfFewRowsSharesThemByDefault) {
  MatmulProblem few = problem(512, 1024, 1024);
  few.in0_in_l1 = false;
  few.tuned = false;
  EXPECT_TRUE(configure(few, n150()).one_dimensional);
  EXPECT_EQ(configure(few, n150()).cores, 32);
  few.m = 1024;
  EXPECT_FALSE(configure(few, n150()).one_dimensional);
}

TEST(FitsInL1, SaysWhereTheBenchmarkShards) {
  EXPECT_TRUE(fits_in_l1(problem(3072, 3072, 3072), n150()));
  EXPECT_FALSE(fits_in_l1(problem(8192, 8192, 8192, DataType::BFLOAT4_B), n150()));
  EXPECT_FALSE(fits_in_l1(problem(4096, 4096, 4096), n150()));
  EXPECT_TRUE(fits_in_l1(problem(4096, 4096, 4096, DataType::BFLOAT4_B), n150()));
}

TEST(NaturalGrid, IsTheOneWhoseColumnsDivideTheShape) {
  const ArchSpec& p150 = board("p150").arch;
  EXPECT_EQ(natural_grid(640, 1664, 1664, p150), (Grid{10, 13}));
  EXPECT_EQ(natural_grid(640, 704, 704, p150), (Grid{10, 11}));
  EXPECT_EQ(natural_grid(33, 33, 33, p150), (Grid{10, 13}));
}

TEST(PredictMatmul, NeverBeatsTheRoofline) {
  for (const BoardSpec& board : boards()) {
    for (const std::int64_t extent : {32, 64, 512, 1024, 4096, 16384}) {
      MatmulProblem square = problem(extent, extent, extent);
      square.grid = {board.arch.worker_rows, board.arch.worker_columns};
      for (const bool tuned : {true, false}) {
        square.tuned = tuned;
        square.in0_in_l1 = tuned && fits_in_l1(square, board.arch);
        const Prediction prediction = predict_matmul(square, board.arch, Launch::TRACED, constants());
        EXPECT_GE(prediction.time_ns, prediction.ideal_ns) << board.name << " " << extent;
        EXPECT_GT(prediction.error, 0);
      }
    }
  }
}

TEST(PredictMatmul, GrowsWithEachExtentAndWithFidelity) {
  const MatmulProblem base = problem(1024, 1024, 1024);
  for (auto extent : {&MatmulProblem::m, &MatmulProblem::k, &MatmulProblem::n}) {
    MatmulProblem larger = base;
    larger.*extent = 2048;
    EXPECT_GT(time_of(larger), time_of(base));
  }
  double last = 0;
  for (const auto fidelity : {MathFidelity::LoFi, MathFidelity::HiFi2, MathFidelity::HiFi3, MathFidelity::HiFi4}) {
    MatmulProblem finer = problem(2048, 2048, 2048, DataType::BFLOAT4_B);
    finer.fidelity = fidelity;
    EXPECT_GT(time_of(finer), last);
    last = time_of(finer);
  }
}

TEST(PredictMatmul, IsBoundByTheHostWhereCallsAreShort) {
  const MatmulProblem small = problem(512, 1024, 1024);
  const Prediction untraced = predict_matmul(small, n150(), Launch::UNTRACED, constants());
  EXPECT_EQ(untraced.bound, Bound::HOST);
  EXPECT_GT(untraced.time_ns, 2 * time_of(small));
  const MatmulProblem large = problem(3072, 3072, 3072);
  EXPECT_LT(time_of(large, Launch::UNTRACED), 1.1 * time_of(large));
}

TEST(PredictDecodeMatmul, IsBoundByDramInBfp8AndByUnpackingInBfp4) {
  const auto bound = [](DataType dtype, MathFidelity fidelity) {
    MatmulProblem decode = problem(32, 4096, 14336, dtype);
    decode.fidelity = fidelity;
    return predict_decode_matmul(decode, n150(), constants());
  };
  EXPECT_EQ(bound(DataType::BFLOAT8_B, MathFidelity::HiFi2).bound, Bound::DRAM);
  EXPECT_EQ(bound(DataType::BFLOAT4_B, MathFidelity::LoFi).bound, Bound::UNPACKER);
  EXPECT_EQ(bound(DataType::BFLOAT8_B, MathFidelity::HiFi2).dram_bytes, 4096 / 32 * 14336 / 32 * 1088);
}

} // namespace
} // namespace tessera::perfmodel
