#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>

namespace tessera::cli {

/// `--json [FILE]`: the report as JSON, on standard output in place of the table, or into FILE.
class JsonOutput {
 public:
  /// `what` the JSON holds, for --help.
  void add(CLI::App& app, const std::string& what);

  bool wanted() const { return option_ != nullptr && option_->count() > 0; }
  /// Whether the JSON takes the place of what the command would print.
  bool on_standard_output() const { return wanted() && file_.empty(); }
  /// Writes the report when it is wanted. Throws IoError.
  void write(const nlohmann::json& report) const;

 private:
  CLI::Option* option_ = nullptr;
  std::string file_;
};

} // namespace tessera::cli
