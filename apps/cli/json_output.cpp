#include "apps/cli/json_output.hpp"

#include "apps/cli/ranks.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/base/file.hpp"

namespace tessera::cli {

void JsonOutput::add(CLI::App& app, const std::string& what) {
  option_ = app.add_option("--json", file_, what + ", as JSON on standard output, or into FILE")
                ->expected(0, 1)
                ->type_name("[FILE]");
}

void JsonOutput::write(const nlohmann::json& report) const {
  if (!wanted() || !Ranks::is_first()) return;
  // Texts may come from files in any encoding; a report is always valid JSON.
  const std::string text = report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  if (file_.empty()) {
    write_standard_output(text);
  } else {
    base::write_file_atomically(file_, text);
  }
}

} // namespace tessera::cli
