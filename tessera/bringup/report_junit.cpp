#include <fmt/format.h>

#include <algorithm>

#include "tessera/bringup/report.hpp"

namespace tessera::bringup {
namespace {

/// Text fit for an attribute or element. XML 1.0 has no control characters but tab and line ends: they become '?'.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\n':
        out += "&#10;";
        break;
      case '\t':
        out += "&#9;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    }
  }
  return out;
}

std::string figures_of(const Row& row) {
  std::string text;
  for (const Figure& figure : row.figures) text += fmt::format("{} = {:.9g}\n", figure.name, figure.value);
  for (const std::string& note : row.notes) text += note + "\n";
  return text;
}

std::string test_case(const std::string& stage, const Row& row) {
  std::string text = fmt::format("    <testcase classname=\"{}\" name=\"{}\">\n", escaped(stage), escaped(row.module));
  if (row.passed) {
    text += fmt::format("      <system-out>{}</system-out>\n", escaped(figures_of(row)));
  } else {
    const std::string reason = failure_text(row);
    text += fmt::format("      <failure message=\"{}\">{}</failure>\n",
                        escaped(reason.empty() && !row.notes.empty() ? row.notes.front() : reason),
                        escaped(figures_of(row) + "try: " + row.advice));
  }
  return text + "    </testcase>\n";
}

/// The case that stands for a stage as a whole, where no row says what happened.
std::string stage_case(const StageResult& stage) {
  const std::string message = escaped(stage.message.empty() ? to_string(stage.verdict) : stage.message);
  const char* element = stage.verdict == Verdict::FAILED ? "error" : "skipped";
  return fmt::format("    <testcase classname=\"{0}\" name=\"{0}\">\n      <{1} message=\"{2}\"/>\n    </testcase>\n",
                     escaped(stage.name), element, message);
}

std::string suite(const StageResult& stage) {
  const auto failures = std::count_if(stage.rows.begin(), stage.rows.end(), [](const Row& row) { return !row.passed; });
  const bool ended_early = stage.verdict == Verdict::FAILED && failures == 0;
  const bool skipped = stage.verdict == Verdict::SKIPPED || stage.verdict == Verdict::NOT_RUN;
  std::string text = fmt::format(
      "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3f}\">\n",
      escaped(stage.name), stage.rows.size() + (ended_early || skipped ? 1 : 0), failures, ended_early ? 1 : 0,
      skipped ? 1 : 0, stage.time_s);
  for (const Row& row : stage.rows) text += test_case(stage.name, row);
  if (ended_early || skipped) text += stage_case(stage);
  return text + "  </testsuite>\n";
}

} // namespace

std::string to_junit(const Report& report) {
  std::string text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"tessera bringup\">\n";
  for (const StageResult& stage : report.stages) text += suite(stage);
  return text + "</testsuites>\n";
}

} // namespace tessera::bringup
