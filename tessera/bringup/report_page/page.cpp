#include "tessera/bringup/report_page/page.hpp"

#include <fmt/format.h>

#include "tessera/base/file.hpp"
#include "tessera/bringup/report_page/style.hpp"
#include "tessera/bringup/report_page/svg.hpp"

namespace tessera::bringup::report_page {
namespace {

std::string title_of(const Report& report) {
  std::string subject;
  for (const auto& [name, value] : report.facts) {
    if (name == "checkpoint" || (name == "model" && subject.empty())) subject = value;
  }
  return fmt::format("{} {}: bring-up report", report.passed() ? "✓" : "✕", subject);
}

std::string navigation(const std::vector<Section>& sections) {
  std::string items;
  for (const Section& section : sections)
    items += fmt::format("<li><a href=\"#{}\">{}</a></li>", section.id, escaped(section.title));
  return "<nav aria-label=\"Sections\"><ul>" + items + "</ul></nav>\n";
}

std::string section_html(const Section& section) {
  return fmt::format("<section id=\"{}\">\n<h2>{}</h2>\n<p class=\"lead\">{}</p>\n{}</section>\n", section.id,
                     escaped(section.title), escaped(section.lead), section.body);
}

} // namespace

std::vector<Section> sections_of(const RunFolder& run) {
  std::vector<Section> sections;
  sections.push_back(stages_section(run));
  sections.push_back(modules_section(run));
  if (!run.report.classifier) {
    sections.push_back(tokens_section(run));
    sections.push_back(generations_section(run));
  }
  sections.push_back(memory_section(run));
  if (!run.report.classifier) sections.push_back(speed_section(run));
  sections.push_back(timeline_section(run));
  sections.push_back(sharding_section(run));
  sections.push_back(op_graph_section(run));
  return sections;
}

std::string to_html(const RunFolder& run, const std::vector<Section>& sections) {
  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>\n{}{}</style>\n</head>\n<body>\n<main>\n",
      escaped(title_of(run.report)), chart_style(), page_style());
  html += verdict_html(run) + navigation(sections);
  for (const Section& section : sections) html += section_html(section);
  return html +
         fmt::format(
             "<footer><p>Made by tessera from the files beside this page; <code>tessera report</code> makes it again. "
             "Run {}.</p></footer>\n</main>\n</body>\n</html>\n",
             escaped(run.report.key));
}

} // namespace tessera::bringup::report_page

namespace tessera::bringup {

void write_report_page(const std::filesystem::path& folder) {
  const report_page::RunFolder run = report_page::read_run_folder(folder);
  const std::vector<report_page::Section> sections = report_page::sections_of(run);
  for (const report_page::Section& section : sections) {
    for (const report_page::Table& table : section.tables) {
      const std::filesystem::path path = folder / "tables" / table.name;
      base::write_file_atomically(path.string() + ".csv", to_csv(table));
      base::write_file_atomically(path.string() + ".json",
                                  to_json(table).dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    }
  }
  base::write_file_atomically(folder / "report.html", to_html(run, sections));
}

} // namespace tessera::bringup
