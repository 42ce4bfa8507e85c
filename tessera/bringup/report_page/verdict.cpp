#include <fmt/format.h>

#include <algorithm>

#include "tessera/bringup/report_page/section.hpp"

namespace tessera::bringup::report_page {
namespace {

/// "13 stages: 10 passed, 3 skipped"
std::string counts(const Report& report) {
  std::string text = fmt::format("{} {}", report.stages.size(), report.stages.size() == 1 ? "stage" : "stages");
  const char* separator = ": ";
  for (const Verdict verdict : {Verdict::PASSED, Verdict::FAILED, Verdict::SKIPPED, Verdict::NOT_RUN}) {
    const auto count = std::count_if(report.stages.begin(), report.stages.end(),
                                     [&](const StageResult& stage) { return stage.verdict == verdict; });
    if (count == 0) continue;
    text += fmt::format("{}{} {}", separator, count, to_string(verdict));
    separator = ", ";
  }
  return text;
}

std::string first_failure(const Report& report) {
  for (const StageResult& stage : report.stages) {
    if (stage.verdict != Verdict::FAILED) continue;
    const auto bad = std::find_if(stage.rows.begin(), stage.rows.end(), [](const Row& row) { return !row.passed; });
    std::string html = "<p class=\"what\">First to fail: ";
    const std::string link = fmt::format("<a href=\"#stage-{0}\">{0}</a>", escaped(stage.name));
    if (bad == stage.rows.end()) return html + fmt::format("{}: {}</p>\n", link, escaped(stage.message));
    std::string reason = failure_text(*bad);
    if (reason.empty() && !bad->notes.empty()) reason = bad->notes.front();
    html += fmt::format("{}, <code>{}</code>: {}</p>\n", link, escaped(bad->module), escaped(reason));
    if (!bad->advice.empty()) html += fmt::format("<p class=\"advice\"><b>Try</b> {}</p>\n", escaped(bad->advice));
    return html;
  }
  return "";
}

/// One cell for each stage, the failed ones' names in full.
std::string stage_row(const Report& report) {
  std::string items;
  for (const StageResult& stage : report.stages) {
    const char* css = stage.verdict == Verdict::PASSED   ? "passed"
                      : stage.verdict == Verdict::FAILED ? "failed"
                                                         : "skipped";
    const char* sign = stage.verdict == Verdict::PASSED    ? "✓"
                       : stage.verdict == Verdict::FAILED  ? "✕"
                       : stage.verdict == Verdict::SKIPPED ? "–"
                                                           : "○";
    items +=
        fmt::format("<li class=\"{}\"><a href=\"#stage-{}\"><b>{}</b> {}<span class=\"unseen\">, {}</span></a></li>",
                    css, escaped(stage.name), sign, escaped(stage.name), to_string(stage.verdict));
  }
  return "<ol class=\"stage-row\">" + items + "</ol>\n";
}

} // namespace

std::string verdict_html(const RunFolder& run) {
  const Report& report = run.report;
  std::string facts;
  for (const auto& [name, value] : report.facts)
    facts += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", escaped(name), escaped(value));
  double time_s = 0.0;
  for (const StageResult& stage : report.stages) time_s += stage.time_s;
  facts += fmt::format("<div><dt>took</dt><dd>{:.1f} s on this host</dd></div>\n", time_s);
  return fmt::format(
      "<header class=\"verdict {}\">\n<p class=\"kind\">Bring-up report</p>\n<h1><span class=\"sign\" "
      "aria-hidden=\"true\">{}"
      "</span> {}</h1>\n<p class=\"counts\">{}</p>\n{}{}</header>\n<dl class=\"facts\">\n{}</dl>\n",
      report.passed() ? "passed" : "failed", report.passed() ? "✓" : "✕", report.passed() ? "Passed" : "Not passed",
      escaped(counts(report)), first_failure(report), stage_row(report), facts);
}

} // namespace tessera::bringup::report_page
