#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "apps/cli/classifier.hpp"

namespace tessera::cli {

struct ClassifierBenchOptions {
  std::string checkpoint;
  std::vector<std::int64_t> batch;
  std::int64_t text_tokens = 128; ///< of each text, where the model has room for them
  std::int64_t repeats = 5;
  bool trace = true;
};

/// What `tessera bench` measures of a classifier: images/s, or sequences/s and tokens/s, of batches through a stream,
/// uploads and read-backs included.
nlohmann::json bench_classifier(const ClassifierBenchOptions& options, const ModelOptions& model,
                                ClassifierOnBoard& opened, double load_s);
/// The same as a table.
std::string classifier_bench_table(const nlohmann::json& report);

} // namespace tessera::cli
