// The section of speed: measured on this host, predicted for the card, published; each in a block of its own.

#include <fmt/format.h>

#include <algorithm>

#include "tessera/bringup/report_page/section.hpp"

namespace tessera::bringup::report_page {
namespace {

std::string title_of(const std::string& figure) {
  if (figure == "tokens_per_s_user") return "tokens/s for each user";
  if (figure == "tokens_per_s") return "tokens/s of all users";
  if (figure == "ttft_ms") return "ms to the first token";
  return figure;
}

std::string block(const Row& row, const std::string& css, const std::string& heading, const std::string& what) {
  std::string figures;
  for (const Figure& figure : row.figures)
    figures +=
        fmt::format("<div><dt>{}</dt><dd>{}</dd></div>", escaped(title_of(figure.name)), short_number(figure.value));
  std::string notes;
  for (const std::string& note : row.notes) notes += element("p", "note", escaped(note));
  return fmt::format(
      "<section class=\"speed {}\"><h3>{}</h3><p class=\"lead\">{}</p><dl class=\"figures\">{}</dl>{}</section>\n", css,
      heading, what, figures, notes);
}

/// Published figures have a table: they speak of other cases.
Table published_table(const std::vector<const Row*>& rows) {
  Table table{
      .name = "published", .caption = "Published figures of this model", .columns = {{"case", "case"}}, .rows = {}};
  std::vector<std::string> names;
  for (const Row* row : rows) {
    for (const Figure& figure : row->figures) {
      if (std::find(names.begin(), names.end(), figure.name) == names.end()) names.push_back(figure.name);
    }
  }
  for (const std::string& name : names) table.columns.push_back({name, figure_title(name), true});
  for (const Row* row : rows) {
    std::vector<Cell> cells{Cell::text(row->module)};
    for (const std::string& name : names) {
      const auto found =
          std::find_if(row->figures.begin(), row->figures.end(), [&](const Figure& f) { return f.name == name; });
      cells.push_back(found == row->figures.end() ? Cell{nullptr, "", ""}
                                                  : Cell::number(found->value, figure_text(name, found->value)));
    }
    table.rows.push_back(std::move(cells));
  }
  return table;
}

} // namespace

Section speed_section(const RunFolder& run) {
  Section section{.id = "speed",
                  .title = "Speed",
                  .lead =
                      "Two different machines. What this host measured says nothing of the card; what is predicted for "
                      "the card was "
                      "not run on one."};
  const auto stage = std::find_if(run.report.stages.begin(), run.report.stages.end(),
                                  [](const StageResult& one) { return one.name == "performance"; });
  if (stage == run.report.stages.end() || stage->rows.empty()) {
    section.add_missing("The stage performance was not run, or has no figures.");
    return section;
  }
  std::vector<const Row*> published;
  section.body += "<figure id=\"figure-speed\" class=\"blocks\">\n";
  bool predicted = false;
  for (const Row& row : stage->rows) {
    if (row.module == kMeasuredHere) {
      section.body += block(row, "measured", "Measured <small>on this host</small>",
                            "Tessera's own run on this machine's processor.");
    } else if (row.module == "predicted for the card") {
      predicted = true;
      section.body += block(row, "predicted", "Predicted <small>for the card</small>",
                            "From the ops of the model's own code; no card was used.");
    } else {
      published.push_back(&row);
    }
  }
  if (!predicted)
    section.body +=
        "<section class=\"speed predicted\"><h3>Predicted <small>for the card</small></h3><p class=\"missing\">Nothing "
        "is predicted "
        "for this board or for a part of the model.</p></section>\n";
  section.body += "</figure>\n";
  if (!published.empty()) {
    section.body += "<h3>Published <small>by the vendor, of its own cards</small></h3>\n";
    section.add(published_table(published));
  }
  return section;
}

} // namespace tessera::bringup::report_page
