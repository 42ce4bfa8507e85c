#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>

#include "apps/cli/command.hpp"
#include "apps/cli/exit_code.hpp"
#include "apps/cli/json_output.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/models/classifier.hpp"
#include "tessera/models/family.hpp"
#include "tessera/models/load.hpp"

namespace tessera::cli {
namespace {

struct Checkpoint {
  std::string name; ///< as plan takes it
  std::int64_t parameters = 0;
};
struct Entry {
  std::vector<std::string> architectures;
  std::vector<Checkpoint> checkpoints;
};

/// The family of a configuration, and its size.
std::pair<std::string, std::int64_t> describe(const checkpoint::Checkpoint& checkpoint) {
  const models::ClassifierFamily* const vision = models::classifier_family_of(checkpoint);
  if (vision == nullptr)
    return {std::string(models::family_of(checkpoint).name), models::configure(checkpoint).parameters()};
  const auto device = runtime::MeshDevice::open({.mode = runtime::RunMode::RECORD});
  const auto model = models::load_classifier(device, checkpoint, {.random_seed = 0});
  return {std::string(vision->name), model->info().parameters};
}

/// Families, and the published checkpoints whose configurations come with the program, smallest first.
std::map<std::string, Entry> all_entries() {
  std::map<std::string, Entry> entries;
  for (const models::Family& family : models::families())
    entries[std::string(family.name)].architectures.emplace_back(family.architecture);
  for (const models::ClassifierFamily& family : models::classifier_families())
    entries[std::string(family.name)].architectures.emplace_back(family.architecture);
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(TESSERA_CONFIGS, error)) {
    if (file.path().extension() != ".json") continue;
    const auto checkpoint = checkpoint::Checkpoint::open_config(file.path().string());
    const auto [family, parameters] = describe(checkpoint);
    entries[family].checkpoints.push_back({file.path().stem().string(), parameters});
  }
  for (auto& [name, entry] : entries) {
    std::sort(entry.checkpoints.begin(), entry.checkpoints.end(),
              [](const Checkpoint& a, const Checkpoint& b) { return a.parameters < b.parameters; });
  }
  return entries;
}

nlohmann::json report_of(const std::map<std::string, Entry>& entries) {
  nlohmann::json families = nlohmann::json::array();
  for (const auto& [name, entry] : entries) {
    nlohmann::json checkpoints = nlohmann::json::array();
    for (const Checkpoint& known : entry.checkpoints)
      checkpoints.push_back({{"name", known.name}, {"parameters", known.parameters}});
    families.push_back({{"family", name}, {"architectures", entry.architectures}, {"checkpoints", checkpoints}});
  }
  return {{"families", families}};
}

std::string table_of(const std::map<std::string, Entry>& entries) {
  std::string text;
  for (const auto& [name, entry] : entries) {
    text += fmt::format("{:<8}  {}\n", name, fmt::join(entry.architectures, ", "));
    for (const Checkpoint& known : entry.checkpoints)
      text += fmt::format("{:<8}    {:<24} {:>7.2f} billion parameters\n", "", known.name,
                          static_cast<double>(known.parameters) * 1e-9);
  }
  return text;
}

} // namespace

Command models_command() {
  return {
      .name = "models",
      .summary = "The model families that are built, and published checkpoints of each",
      .examples =
          "A checkpoint belongs to the family that config.json's architectures names. The names below a family are\n"
          "configurations that bench takes, and plan those of language models.\n\n"
          "Examples:\n"
          "  tessera models\n"
          "  tessera models --json",
      .add = [](CLI::App& app) -> std::function<int()> {
        auto json = std::make_shared<JsonOutput>();
        json->add(app, "The same");
        return [json] {
          const auto entries = all_entries();
          json->write(report_of(entries));
          if (!json->on_standard_output()) write_standard_output(table_of(entries));
          return static_cast<int>(EXIT_OK);
        };
      }};
}

} // namespace tessera::cli
