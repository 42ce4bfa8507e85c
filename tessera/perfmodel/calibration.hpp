#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tessera/perfmodel/matmul.hpp"
#include "tessera/perfmodel/op.hpp"

namespace tessera::perfmodel {

/// A published timing of a matmul in a loop.
struct MatmulRow {
  MatmulProblem problem;
  std::string board; ///< "n150", "p150"
  Launch launch = Launch::TRACED;
  double published_ns = 0;
  std::string group; ///< "N150 tuned, traced"
};

/// A published timing of one op's kernel.
struct OpRow {
  OpRecord record;
  std::string board;
  double published_ns = 0;
  std::string group; ///< "op typecast"
};

/// A published speed of a model.
struct ModelRow {
  std::string config; ///< its name in configs/
  std::string board;
  std::int64_t copies = 0; ///< 0: not said, one over all chips
  std::int64_t users = 1;
  std::int64_t prompt_length = 0;
  bool long_context = false;
  std::string precision;
  double tokens_per_s_user = 0;
  double ttft_ms = 0;
  std::string group; ///< "decode N150"
};

/// Where the published tables lie: $TESSERA_CALIBRATION, or `beside` (the source tree's
/// parent)/shared/spec/calibration.
std::filesystem::path calibration_folder(const std::filesystem::path& source_tree);

/// The rows of gemm.csv, of op_timings.csv and of llm.csv. Rows of op_timings.csv whose shapes are neither stated nor
/// known are left out. Throw IoError for files that cannot be read or lack a column.
std::vector<MatmulRow> read_matmul_rows(const std::filesystem::path& folder);
std::vector<OpRow> read_op_rows(const std::filesystem::path& folder);
std::vector<ModelRow> read_model_rows(const std::filesystem::path& folder);

double predict_ns(const MatmulRow& row, const Constants& constants);
double predict_ns(const OpRow& row, const Constants& constants);

/// Quantiles of |predicted / published - 1|.
struct ErrorSummary {
  std::size_t rows = 0;
  double median = 0;
  double p90 = 0;
  double worst = 0;
};
ErrorSummary summarise(std::vector<double> errors);

} // namespace tessera::perfmodel
