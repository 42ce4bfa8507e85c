#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "apps/cli/classifier.hpp"

namespace tessera::cli {

struct ImageBenchOptions {
  std::string checkpoint;
  std::vector<std::int64_t> batch;
  std::int64_t repeats = 5;
  bool trace = true;
};

/// What `tessera bench` measures of an image classifier: images/s of batches through a stream, uploads and read-backs
/// included.
nlohmann::json bench_images(const ImageBenchOptions& options, const ModelOptions& model, ClassifierOnBoard& opened,
                            double load_s);
/// The same as a table.
std::string image_bench_table(const nlohmann::json& report);

} // namespace tessera::cli
