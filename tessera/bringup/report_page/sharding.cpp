// The section of meshes: which chip holds what part.

#include "tessera/bringup/sharding.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "tessera/bringup/report_page/section.hpp"
#include "tessera/bringup/report_page/svg.hpp"
#include "tessera/bringup/report_page/svg_parts.hpp"

namespace tessera::bringup::report_page {
namespace {

constexpr double kChipWidth = 112.0;
constexpr double kChipHeight = 62.0;
constexpr double kGap = 10.0;
// Grids wider than this many chips are drawn small, without texts on the chips.
constexpr std::int64_t kMostWithText = 8;

/// "0–7 of 32"
std::string range_text(const ChipPart::Part& part) {
  if (part.count <= 0) return fmt::format("none of {}", part.extent);
  if (part.count == part.extent) return fmt::format("all {}", part.extent);
  if (part.count == 1) return fmt::format("{} of {}", part.first, part.extent);
  return fmt::format("{}–{} of {}", part.first, part.first + part.count - 1, part.extent);
}

std::string chip_svg(const ShardingForm& form, const ShardingForm::Place& place, double x, double y,
                     std::int64_t number, bool texts) {
  const bool idle = place.copy < 0;
  std::string title = idle ? fmt::format("chip {}: idle", number) : fmt::format("chip {}: copy {}", number, place.copy);
  if (!idle && !form.chips.empty()) {
    title += fmt::format(", part {}", place.chip);
    for (const auto& part : form.chips[static_cast<std::size_t>(place.chip) % form.chips.size()].parts)
      title += fmt::format("; {} {}", part.what, range_text(part));
  }
  const double width = texts ? kChipWidth : kChipHeight / 2;
  const double height = texts ? kChipHeight : kChipHeight / 2;
  std::string out = fmt::format(
      "<rect x=\"{:.0f}\" y=\"{:.0f}\" width=\"{:.0f}\" height=\"{:.0f}\" rx=\"4\" "
      "class=\"{}\"><title>{}</title></rect>",
      x, y, width, height, idle ? "chip idle" : fmt::format("chip s{}", place.copy % 5), escaped(title));
  if (!texts) return out + "\n";
  if (idle) return out + svg::text(x + 10, y + 20, "start", "tick", fmt::format("chip {}: idle", number)) + "\n";
  out += svg::text(x + 10, y + 18, "start", "on-chip", fmt::format("copy {}", place.copy));
  if (form.rows * form.columns > 1) {
    out += svg::text(x + 10, y + 35, "start", "on-chip small",
                     fmt::format("part {} of {}", place.chip, form.rows * form.columns));
    if (!form.chips.empty() && !form.chips.front().parts.empty()) {
      const auto& parts = form.chips[static_cast<std::size_t>(place.chip) % form.chips.size()].parts;
      out += svg::text(x + 10, y + 51, "start", "on-chip small", fmt::format("heads {}", range_text(parts.front())));
    }
  } else {
    out += svg::text(x + 10, y + 35, "start", "on-chip small", "the whole model");
  }
  return out + "\n";
}

std::string picture(const Sharding& sharding, const ShardingForm& form) {
  const bool texts = sharding.columns <= kMostWithText;
  const double dx = (texts ? kChipWidth : kChipHeight / 2) + kGap;
  const double dy = (texts ? kChipHeight : kChipHeight / 2) + kGap;
  const double width = dx * static_cast<double>(sharding.columns);
  std::string chips;
  for (std::int64_t row = 0; row < sharding.rows; ++row) {
    for (std::int64_t column = 0; column < sharding.columns; ++column)
      chips += chip_svg(form, form.place(row, column, sharding.columns), dx * static_cast<double>(column),
                        dy * static_cast<double>(row), row * sharding.columns + column, texts);
  }
  return fmt::format(
      "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"chips of {0}\"><div "
      "style=\"width:{1:.0f}px\">{2}{3}</svg></div></div>\n",
      escaped(form.name), width, svg::open(width, dy * static_cast<double>(sharding.rows), "Chips of " + form.name),
      chips);
}

Table table_of(const Sharding& sharding) {
  Table table{.name = "sharding",
              .caption = "What each chip of a copy holds",
              .columns = {{"form", "form"},
                          {"chip", "chip of the copy", true},
                          {"what", "what"},
                          {"first", "first", true},
                          {"count", "count", true},
                          {"extent", "of", true}},
              .rows = {}};
  for (const ShardingForm& form : sharding.forms) {
    for (std::size_t chip = 0; chip < form.chips.size(); ++chip) {
      for (const ChipPart::Part& part : form.chips[chip].parts)
        table.rows.push_back({Cell::text(form.name), Cell::integer(static_cast<std::int64_t>(chip)),
                              Cell::text(part.what), Cell::integer(part.first), Cell::integer(part.count),
                              Cell::integer(part.extent)});
    }
  }
  return table;
}

} // namespace

Section sharding_section(const RunFolder& run) {
  Section section{.id = "sharding",
                  .title = "Chips",
                  .lead =
                      "How the model lies on the board, and in which other forms it fits there: copies side by side "
                      "(dp), and copies whose "
                      "chips share each "
                      "layer (tp). A colour is a copy."};
  fill_from(section, run.sharding, [&] {
    const Sharding sharding = sharding_from_json(run.sharding.content);
    if (sharding.rows * sharding.columns == 1)
      section.body +=
          element("p", "note", escaped(fmt::format("{} has one chip, which holds the whole model.", sharding.board)));
    section.body += "<figure id=\"figure-sharding\">\n";
    for (const ShardingForm& form : sharding.forms)
      section.body +=
          fmt::format("<h4>{} on {}</h4>\n{}", escaped(form.name), escaped(sharding.board), picture(sharding, form));
    section.body += "</figure>\n";
    Table table = table_of(sharding);
    if (table.rows.empty()) return;
    section.body += collapsible("What each chip of a copy holds", to_html(table), false);
    section.tables.push_back(std::move(table));
  });
  return section;
}

} // namespace tessera::bringup::report_page
