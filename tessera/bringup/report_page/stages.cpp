// The section of the stages: figures, limits, notes and advice of each row.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tessera/bringup/report_page/section.hpp"
#include "tessera/bringup/stage.hpp"

namespace tessera::bringup::report_page {
namespace {

/// What stages of a classifier are for, where a language model's of that name are for something else or are not there.
constexpr std::pair<const char*, const char*> kOfClassifiers[] = {
    {"operators", "each operator alone, on the reference's inputs"},
    {"blocks", "each block alone, on the reference's inputs"},
    {"full-model", "all blocks in a row, each block's output compared"},
    {"top-1-agreement", "whether the same class comes first"},
    {"data-parallel", "copies on chips of their own, the same bits"},
    {"tensor-parallel", "chips that share each layer, against the reference"}};

std::string purpose_of(const std::string& name, bool classifier) {
  for (const auto& [stage, purpose] : kOfClassifiers) {
    if (classifier && name == stage) return purpose;
  }
  for (const Stage& stage : all_stages()) {
    if (name == stage.name) return stage.purpose;
  }
  return "";
}

std::vector<std::string> figure_names(const StageResult& stage) {
  std::vector<std::string> names;
  for (const Row& row : stage.rows) {
    for (const Figure& figure : row.figures) {
      if (std::find(names.begin(), names.end(), figure.name) == names.end()) names.push_back(figure.name);
    }
  }
  return names;
}

const Figure* find(const Row& row, const std::string& name) {
  const auto found =
      std::find_if(row.figures.begin(), row.figures.end(), [&](const Figure& f) { return f.name == name; });
  return found == row.figures.end() ? nullptr : &*found;
}

std::string bound_text(const Figure& figure) {
  if (!figure.bound) return "";
  return fmt::format("{} {}", figure.bound->kind == Bound::Kind::AT_LEAST ? "≥" : "≤",
                     figure_text(figure.name, figure.bound->limit));
}

Cell figure_cell(const Figure* figure) {
  if (figure == nullptr) return {nullptr, "", ""};
  Cell cell = Cell::number(figure->value, figure_text(figure->name, figure->value), figure->holds() ? "" : "broken");
  if (figure->bound) cell.html += fmt::format("<small class=\"bound\">{}</small>", escaped(bound_text(*figure)));
  return cell;
}

std::string notes_of(const StageResult& stage) {
  std::string items;
  for (const Row& row : stage.rows) {
    std::string lines;
    for (const std::string& note : row.notes) lines += element("p", "", escaped(note));
    if (!row.advice.empty()) lines += fmt::format("<p class=\"advice\"><b>Try</b> {}</p>", escaped(row.advice));
    if (!lines.empty())
      items += fmt::format("<div><dt><code>{}</code></dt><dd>{}</dd></div>\n", escaped(row.module), lines);
  }
  return items.empty() ? "" : "<dl class=\"notes\">\n" + items + "</dl>\n";
}

Table table_of(const StageResult& stage) {
  Table table{
      .name = "stage-" + stage.name, .caption = "Rows of " + stage.name, .columns = {{"module", "module"}}, .rows = {}};
  const std::vector<std::string> names = figure_names(stage);
  for (const std::string& name : names) table.columns.push_back({name, figure_title(name), true});
  table.columns.push_back({"passed", "verdict"});
  for (const Row& row : stage.rows) {
    std::vector<Cell> cells{Cell::text(row.module, "name")};
    for (const std::string& name : names) cells.push_back(figure_cell(find(row, name)));
    cells.push_back({row.passed, verdict_badge(row.passed), {}});
    table.rows.push_back(std::move(cells));
  }
  return table;
}

/// The row nearest to a limit on PCC, or over it: what decided the verdict.
std::string nearest(const StageResult& stage) {
  const Row* lowest = nullptr;
  const Figure* figure = nullptr;
  for (const Row& row : stage.rows) {
    const Figure* pcc = find(row, "pcc");
    if (pcc == nullptr || !pcc->bound) continue;
    const auto room = [](const Figure& f) { return (1.0 - f.value) / std::max(1e-12, 1.0 - f.bound->limit); };
    if (figure == nullptr || room(*pcc) > room(*figure)) lowest = &row, figure = pcc;
  }
  if (lowest == nullptr) return "";
  return fmt::format("nearest to its limit: <code>{}</code> PCC {} {}", escaped(lowest->module),
                     figure_text("pcc", figure->value), escaped(bound_text(*figure)));
}

} // namespace

Section stages_section(const RunFolder& run) {
  Section section{
      .id = "stages",
      .title = "Stages",
      .lead = "The bring-up guide, step by step: each figure with its limit, each failing row with what to try."};
  for (const StageResult& stage : run.report.stages) {
    std::string facts = escaped(purpose_of(stage.name, run.report.classifier));
    std::string closing = stage.rows.empty() ? "" : nearest(stage);
    if (stage.resumed) closing += closing.empty() ? "from an earlier run" : "; from an earlier run";
    std::string content;
    if (!stage.message.empty()) content += element("p", "message", escaped(stage.message)) + "\n";
    if (!closing.empty()) content += element("p", "nearest", closing) + "\n";
    if (!stage.rows.empty()) {
      Table table = table_of(stage);
      content += to_html(table) + notes_of(stage);
      section.tables.push_back(std::move(table));
    }
    const std::string time = stage.time_s > 0.0 ? fmt::format("{:.1f} s", stage.time_s) : "";
    const std::string summary = fmt::format(
        "<span id=\"stage-{0}\" class=\"stage-name\">{0}</span>{1}<span class=\"purpose\">{2}</span><span "
        "class=\"time\">{3}</span>",
        escaped(stage.name), verdict_badge(stage.verdict), facts, time);
    section.body += collapsible(summary, content, stage.verdict == Verdict::FAILED, "stage");
  }
  return section;
}

} // namespace tessera::bringup::report_page
