#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/bringup/report_files.hpp"
#include "tessera/bringup/run_file.hpp"

namespace tessera::bringup {
namespace {

using nlohmann::json;

json figure_to_json(const Figure& figure) {
  json out{{"name", figure.name}, {"value", run_file::number(figure.value)}};
  if (figure.bound) {
    out[figure.bound->kind == Bound::Kind::AT_LEAST ? "at_least" : "at_most"] = run_file::number(figure.bound->limit);
    out["holds"] = figure.holds();
  }
  return out;
}

Figure figure_from_json(const json& in) {
  Figure figure{in.at("name"), run_file::number_of(in.at("value")), {}};
  if (in.contains("at_least")) figure.bound = {Bound::Kind::AT_LEAST, run_file::number_of(in["at_least"])};
  if (in.contains("at_most")) figure.bound = {Bound::Kind::AT_MOST, run_file::number_of(in["at_most"])};
  return figure;
}

json row_to_json(const Row& row) {
  json figures = json::array();
  for (const Figure& figure : row.figures) figures.push_back(figure_to_json(figure));
  return {{"module", row.module},
          {"figures", std::move(figures)},
          {"passed", row.passed},
          {"advice", row.advice},
          {"notes", row.notes}};
}

Row row_from_json(const json& in) {
  Row row{.module = in.at("module"), .passed = in.at("passed"), .advice = in.at("advice"), .notes = in.at("notes")};
  for (const json& figure : in.at("figures")) row.figures.push_back(figure_from_json(figure));
  return row;
}

json stage_to_json(const StageResult& stage) {
  json rows = json::array();
  for (const Row& row : stage.rows) rows.push_back(row_to_json(row));
  return {{"name", stage.name},       {"verdict", to_string(stage.verdict)},
          {"message", stage.message}, {"time_s", stage.time_s},
          {"rows", std::move(rows)},  {"resumed", stage.resumed}};
}

Verdict verdict_from_string(const std::string& text) {
  for (const Verdict verdict : {Verdict::PASSED, Verdict::FAILED, Verdict::SKIPPED}) {
    if (text == to_string(verdict)) return verdict;
  }
  return Verdict::NOT_RUN;
}

/// A stage's name names its files too, so a folder or a tag in it would lead elsewhere.
std::string stage_name_from_json(const json& in) {
  const auto name = in.get<std::string>();
  const bool plain = !name.empty() && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == name.npos;
  base::require(plain, "a stage's name must consist of a to z, 0 to 9 and -; received {}", in.dump());
  return name;
}

StageResult stage_from_json(const json& in) {
  StageResult stage{.name = stage_name_from_json(in.at("name")),
                    .verdict = verdict_from_string(in.at("verdict")),
                    .message = in.at("message"),
                    .time_s = in.at("time_s"),
                    .resumed = in.at("resumed")};
  for (const json& row : in.at("rows")) stage.rows.push_back(row_from_json(row));
  return stage;
}

} // namespace

json to_json(const Report& report) {
  json facts = json::array(); // pairs, since the order is the reader's
  for (const auto& [name, value] : report.facts) facts.push_back({{"name", name}, {"value", value}});
  json stages = json::array();
  for (const StageResult& stage : report.stages) stages.push_back(stage_to_json(stage));
  return {{"key", report.key},
          {"checkpoint_files", report.files},
          {"model_kind", report.classifier ? "classifier" : "language model"},
          {"passed", report.passed()},
          {"facts", std::move(facts)},
          {"stages", std::move(stages)}};
}

Report report_from_json(const json& in) {
  try {
    Report report{.key = in.at("key"),
                  .files = in.value("checkpoint_files", ""),
                  .classifier = in.value("model_kind", "") == "classifier"};
    for (const json& fact : in.at("facts")) report.facts.emplace_back(fact.at("name"), fact.at("value"));
    for (const json& stage : in.at("stages")) report.stages.push_back(stage_from_json(stage));
    return report;
  } catch (const std::exception& error) {
    throw base::InvalidArgument(
        fmt::format("[bringup] a report must be one that bringup wrote; received JSON with: {}", error.what()));
  }
}

void write_report(const Report& report, const std::filesystem::path& folder) {
  if (folder.empty()) return;
  base::write_file_atomically(folder / "bringup.json",
                              to_json(report).dump(2, ' ', false, json::error_handler_t::replace) + "\n");
  base::write_file_atomically(folder / "bringup.xml", to_junit(report));
}

} // namespace tessera::bringup
