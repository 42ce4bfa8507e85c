#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tessera/bringup/l1_watch.hpp"
#include "tessera/bringup/report.hpp"

namespace tessera::bringup {
namespace {

/// Names of all figures in a stage, in order of first appearance.
std::vector<std::string> columns_of(const StageResult& stage) {
  std::vector<std::string> names;
  for (const Row& row : stage.rows) {
    for (const Figure& figure : row.figures) {
      if (std::find(names.begin(), names.end(), figure.name) == names.end()) names.push_back(figure.name);
    }
  }
  return names;
}

std::string limits_of(const Row& row) {
  std::string text;
  for (const Figure& figure : row.figures) {
    if (!figure.bound || figure.name == kL1Figure) continue; // the verdict on L1 is in its cell
    const char* sign = figure.bound->kind == Bound::Kind::AT_LEAST ? ">=" : "<=";
    text += fmt::format("{}{} {} {:.{}g}", text.empty() ? "" : ", ", figure_title(figure.name), sign,
                        figure.bound->limit, figure.name.starts_with("pcc") ? 6 : 3);
  }
  return text;
}

std::string cell(const Row& row, const std::string& column) {
  const auto figure =
      std::find_if(row.figures.begin(), row.figures.end(), [&](const Figure& f) { return f.name == column; });
  if (figure == row.figures.end()) return "";
  return (column == kL1Figure ? (figure->holds() ? "fits, " : "too full, ") : "") + figure_text(column, figure->value);
}

std::string rows_of(const StageResult& stage) {
  const std::vector<std::string> columns = columns_of(stage);
  std::vector<std::vector<std::string>> cells(1, {"module"});
  for (const std::string& column : columns) cells[0].push_back(figure_title(column));
  for (const Row& row : stage.rows) {
    cells.push_back({row.module});
    for (const std::string& column : columns) cells.back().push_back(cell(row, column));
  }
  std::vector<std::size_t> widths(columns.size() + 1, 0);
  for (const auto& line : cells) {
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
  }
  std::string text;
  for (std::size_t line = 0; line < cells.size(); ++line) {
    text += fmt::format("  {:<{}}", cells[line][0], widths[0]);
    for (std::size_t i = 1; i < cells[line].size(); ++i) text += fmt::format("  {:>{}}", cells[line][i], widths[i]);
    if (line == 0) {
      text += "  limits\n";
      continue;
    }
    const Row& row = stage.rows[line - 1];
    const std::string limits = limits_of(row);
    text += fmt::format("  {}{}{}\n", row.passed ? "ok" : "FAILED", limits.empty() ? "" : "  ", limits);
    for (const std::string& note : row.notes) text += fmt::format("      {}\n", note);
    if (!row.advice.empty()) text += fmt::format("      try: {}\n", row.advice);
  }
  return text;
}

std::string closing_line(const Report& report) {
  std::size_t ran = 0;
  std::size_t failed = 0;
  std::size_t skipped = 0;
  std::size_t left = 0;
  std::string first;
  for (const StageResult& stage : report.stages) {
    ran += stage.verdict == Verdict::PASSED || stage.verdict == Verdict::FAILED;
    skipped += stage.verdict == Verdict::SKIPPED;
    left += stage.verdict == Verdict::NOT_RUN;
    if (stage.verdict != Verdict::FAILED || failed++ > 0) continue;
    const auto bad = std::find_if(stage.rows.begin(), stage.rows.end(), [](const Row& row) { return !row.passed; });
    first = bad == stage.rows.end() ? fmt::format("{}: {}", stage.name, stage.message)
                                    : fmt::format("{}: {} {}", stage.name, bad->module, failure_text(*bad));
  }
  std::string text =
      fmt::format("{}: {} of {} stages passed", report.passed() ? "PASSED" : "NOT PASSED", ran - failed, ran);
  if (skipped > 0) text += fmt::format(", {} skipped", skipped);
  if (left > 0) text += fmt::format(", {} not run (--resume goes on from here)", left);
  if (!first.empty()) text += fmt::format("; the first failure is {}", first);
  return text + "\n";
}

} // namespace

std::string figure_title(const std::string& figure) {
  if (figure == "max_abs_error") return "max abs";
  if (figure == "relative_frobenius_error") return "rel. Frob.";
  if (figure == "kl_divergence") return "KL";
  if (figure == kL1Figure) return "L1";
  return figure;
}

std::string figure_text(const std::string& figure, double value) {
  if (!std::isfinite(value)) return fmt::format("{}", value);
  if (figure.starts_with("pcc")) return fmt::format("{:.6f}", value);
  if (figure == "top1" || figure == "top5") return fmt::format("{:.2f} %", 100.0 * value);
  if (figure == kL1Figure) return fmt::format("{:.0f} KB", value / 1e3);
  if (value == std::floor(value) && std::abs(value) < 1e6) return fmt::format("{}", value);
  return fmt::format("{:.3g}", value);
}

std::string to_table(const Report& report) {
  std::string text;
  for (const auto& [name, value] : report.facts) text += fmt::format("{:<12}{}\n", name, value);
  for (const StageResult& stage : report.stages) {
    text += fmt::format("\n{} {}", stage.name, to_string(stage.verdict));
    if (stage.resumed) text += " (earlier run)";
    if (stage.time_s > 0.0) text += fmt::format(", {:.1f} s", stage.time_s);
    if (!stage.message.empty()) text += ": " + stage.message;
    text += "\n";
    if (!stage.rows.empty()) text += rows_of(stage);
  }
  return text + "\n" + closing_line(report);
}

} // namespace tessera::bringup
