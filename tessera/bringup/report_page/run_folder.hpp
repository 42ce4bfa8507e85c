#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "tessera/bringup/report.hpp"

namespace tessera::bringup::report_page {

/// A file beside bringup.json.
struct RunFile {
  nlohmann::json content; ///< null unless it can be used
  std::string problem;    ///< why it cannot: it is missing, damaged, or of another run

  bool usable() const { return problem.empty(); }
};

/// A run's folder, as the page is made from it.
struct RunFolder {
  std::filesystem::path path;
  Report report;
  RunFile tokens;
  RunFile generations;
  RunFile memory;
  RunFile ops;
  RunFile timeline;
  RunFile sharding;
};

/// Throws IoError when bringup.json is missing, is no JSON, or was not made by a bring-up. What is wrong with another
/// file is said in its place on the page.
RunFolder read_run_folder(const std::filesystem::path& folder);

} // namespace tessera::bringup::report_page
