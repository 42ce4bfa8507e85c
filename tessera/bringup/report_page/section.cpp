#include "tessera/bringup/report_page/section.hpp"

#include <fmt/format.h>

#include <exception>

namespace tessera::bringup::report_page {

void Section::add(Table table, std::size_t rows) {
  body += to_html(table, rows);
  tables.push_back(std::move(table));
}

void Section::add_missing(const std::string& why) {
  body += element("p", "missing", escaped(why)) + "\n";
}

void fill_from(Section& section, const RunFile& file, const std::function<void()>& fill) {
  if (!file.usable()) return section.add_missing(file.problem);
  const std::string body = section.body;
  const std::size_t tables = section.tables.size();
  try {
    fill();
  } catch (const std::exception& error) {
    section.body = body;
    section.tables.resize(tables);
    section.add_missing(fmt::format("The file is damaged: {}", error.what()));
  }
}

std::string verdict_badge(Verdict verdict) {
  switch (verdict) {
    case Verdict::PASSED:
      return "<span class=\"badge passed\"><b aria-hidden=\"true\">✓</b> passed</span>";
    case Verdict::FAILED:
      return "<span class=\"badge failed\"><b aria-hidden=\"true\">✕</b> failed</span>";
    case Verdict::SKIPPED:
      return "<span class=\"badge skipped\"><b aria-hidden=\"true\">–</b> skipped</span>";
    case Verdict::NOT_RUN:
      return "<span class=\"badge skipped\"><b aria-hidden=\"true\">○</b> not run</span>";
  }
  return "";
}

std::string verdict_badge(bool passed) {
  return verdict_badge(passed ? Verdict::PASSED : Verdict::FAILED);
}

} // namespace tessera::bringup::report_page
