#include "tessera/bringup/report_page/run_folder.hpp"

#include <fmt/format.h>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/checkpoint/json_text.hpp"

namespace tessera::bringup::report_page {
namespace {

RunFile read(const std::filesystem::path& folder, const std::string& name, const std::string& key) {
  std::error_code error;
  if (!std::filesystem::exists(folder / name, error))
    return {nullptr, fmt::format("{} is missing from the folder.", name)};
  try {
    RunFile file{checkpoint::parse_json(base::read_file(folder / name), name), {}};
    const auto found = file.content.find("key");
    if (!file.content.is_object() || found == file.content.end() || !found->is_string())
      return {nullptr, fmt::format("{} is damaged: it names no run.", name)};
    if (found->get<std::string>() != key) return {nullptr, fmt::format("{} belongs to another run.", name)};
    return file;
  } catch (const base::Error& failure) {
    return {nullptr, fmt::format("{} is damaged: {}", name, failure.what())};
  }
}

Report read_report(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "bringup.json";
  std::error_code error;
  base::require<base::IoError>(std::filesystem::exists(path, error),
                               "[report] the folder of a bring-up is required, with bringup.json; {} has none; make "
                               "one with tessera bringup CHECKPOINT --report {}",
                               folder.string(), folder.string());
  try {
    return report_from_json(checkpoint::parse_json(base::read_file(path), path.string()));
  } catch (const base::InvalidArgument& failure) {
    throw base::IoError(fmt::format("{}: {}", path.string(), failure.what()));
  }
}

} // namespace

RunFolder read_run_folder(const std::filesystem::path& folder) {
  RunFolder run{.path = folder, .report = read_report(folder)};
  const std::string& key = run.report.key;
  run.tokens = read(folder, "tokens.json", key);
  run.generations = read(folder, "generations.json", key);
  run.memory = read(folder, "memory.json", key);
  run.ops = read(folder, "ops.json", key);
  run.timeline = read(folder, "timeline.json", key);
  run.sharding = read(folder, "sharding.json", key);
  return run;
}

} // namespace tessera::bringup::report_page
