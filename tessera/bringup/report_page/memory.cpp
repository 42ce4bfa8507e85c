// The section of the memory map, and the same as a picture by itself.

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "tessera/bringup/report_page/memory_chart.hpp"
#include "tessera/bringup/report_page/section.hpp"
#include "tessera/bringup/report_page/svg_parts.hpp"

namespace tessera::bringup {
namespace report_page {
namespace {

std::string css_of(std::size_t kind) {
  return fmt::format("s{}", kind % 6);
}

bool ever_held(const MemoryHistory& history, std::size_t kind) {
  return std::ranges::any_of(history.used, [&](const auto& used) { return used[kind] > 0; });
}

constexpr const char* kCircularBuffersCss = "s5"; // memory kinds have the colours before it
constexpr const char* kCircularBuffers = "circular buffers while the op runs";

/// The unit in which the largest amount has at most four digits before the point.
std::pair<const char*, double> unit_of(double bytes) {
  if (bytes >= 1e9) return {"GB", 1e-9};
  if (bytes >= 1e6) return {"MB", 1e-6};
  return {"kB", 1e-3};
}

std::string name_of(std::size_t kind) {
  return std::string(runtime::to_string(static_cast<runtime::MemoryKind>(kind)));
}

Table held_table(const MemoryHistory& history, const std::string& memory, const std::string& name) {
  Table table{.name = "memory-" + name,
              .caption = fmt::format("Held at the peak of {}", memory),
              .columns = {{"tensor", "tensor"}, {"bytes", "bytes", true}, {"share", "of the peak", true}},
              .rows = {}};
  for (const auto& [tensor, bytes] : largest_held(history)) {
    const double share = history.peak > 0 ? static_cast<double>(bytes) / static_cast<double>(history.peak) : 0.0;
    table.rows.push_back({Cell::text(tensor, "name"),
                          {bytes, bytes_text(static_cast<double>(bytes)), {}},
                          Cell::number(share, fmt::format("{:.1f} %", 100.0 * share))});
  }
  return table;
}

Table use_table(const MemoryMap& map) {
  Table table{.name = "memory-over-time",
              .caption = "Bytes in use after each op",
              .columns = {{"op", "op", true}, {"phase", "phase"}, {"name", "name"}, {"scope", "module"}},
              .rows = {}};
  for (const char* memory : {"dram", "l1"}) {
    for (std::size_t kind = 0; kind < runtime::kMemoryKinds; ++kind)
      table.columns.push_back({fmt::format("{}_{}", memory, name_of(kind)), name_of(kind), true, memory});
  }
  table.columns.push_back({"l1_circular_buffers", "circular buffers", true, "l1"});
  std::string phase;
  for (std::size_t op = 0; op < map.ops.size(); ++op) {
    for (const MemoryMap::Phase& one : map.phases) {
      if (one.first_op == op) phase = one.name;
    }
    std::vector<Cell> cells{Cell::integer(static_cast<std::int64_t>(op)), Cell::text(phase),
                            Cell::text(map.ops[op].name), Cell::text(map.ops[op].scope)};
    for (const MemoryHistory* history : {&map.dram, &map.l1}) {
      for (const std::int64_t bytes : history->used[op]) cells.push_back(Cell::integer(bytes));
    }
    cells.push_back(Cell::integer(map.l1.circular_buffers.empty() ? 0 : map.l1.circular_buffers[op]));
    table.rows.push_back(std::move(cells));
  }
  return table;
}

/// A picture, or a sentence where there is nothing to draw.
std::string figure_of(const MemoryMap& map, const MemoryHistory& history, const std::string& memory,
                      const std::string& id) {
  if (history.peak == 0) return element("p", "note", fmt::format("{} holds no tensor after any op.", memory)) + "\n";
  return fmt::format(
      "<figure id=\"figure-{}\"><div class=\"wide\" tabindex=\"0\" role=\"region\" "
      "aria-label=\"{}\">{}</div></figure>\n",
      id, memory, to_svg(memory_chart(map, history, memory)));
}

} // namespace

AreaChart memory_chart(const MemoryMap& map, const MemoryHistory& history, std::string_view memory) {
  const auto [unit, scale] = unit_of(static_cast<double>(history.peak));
  const double share =
      history.capacity > 0 ? static_cast<double>(history.peak) / static_cast<double>(history.capacity) : 0.0;
  AreaChart chart{.title = fmt::format("{} of a chip: {} at the peak, {:.1f} % of its {}", memory,
                                       bytes_text(static_cast<double>(history.peak)), 100.0 * share,
                                       bytes_text(static_cast<double>(history.capacity))),
                  .unit = unit,
                  .scale = scale};
  for (std::size_t kind = 0; kind < runtime::kMemoryKinds; ++kind) {
    if (!ever_held(history, kind)) continue;
    AreaChart::Kind& area = chart.kinds.emplace_back(AreaChart::Kind{css_of(kind), name_of(kind), {}});
    for (const auto& used : history.used) area.values.push_back(static_cast<double>(used[kind]));
  }
  if (!history.circular_buffers.empty()) {
    AreaChart::Kind& area = chart.kinds.emplace_back(AreaChart::Kind{kCircularBuffersCss, kCircularBuffers, {}});
    for (const std::int64_t bytes : history.circular_buffers) area.values.push_back(static_cast<double>(bytes));
  }
  for (const MemoryMap::Phase& phase : map.phases)
    chart.phases.push_back({static_cast<double>(phase.first_op), phase.name + ", op by op"});
  if (history.peak > 0)
    chart.highlights.push_back({static_cast<double>(history.peak_op), "peak, after " + place_of(map, history.peak_op)});
  return chart;
}

std::vector<LegendEntry> memory_legend(const MemoryMap& map) {
  std::vector<LegendEntry> entries;
  for (std::size_t kind = 0; kind < runtime::kMemoryKinds; ++kind) {
    if (ever_held(map.dram, kind) || ever_held(map.l1, kind)) entries.push_back({css_of(kind), name_of(kind)});
  }
  if (!map.l1.circular_buffers.empty()) entries.push_back({kCircularBuffersCss, kCircularBuffers});
  return entries;
}

Section memory_section(const RunFolder& run) {
  Section section{.id = "memory",
                  .title = "Memory",
                  .lead =
                      "What DRAM and L1 of one chip hold after each op of a step, by what it is used for: all banks, "
                      "with padding. Circular buffers are the op's own, on all cores."};
  fill_from(section, run.memory, [&] {
    const MemoryMap map = memory_map_from_json(run.memory.content);
    section.body +=
        legend(memory_legend(map)) + figure_of(map, map.dram, "DRAM", "dram") + figure_of(map, map.l1, "L1", "l1");
    constexpr std::size_t kRows = 12;
    section.body += "<div class=\"pair\">\n<div>";
    section.add(held_table(map.dram, "DRAM", "dram"), kRows);
    section.body += "</div>\n<div>";
    section.add(held_table(map.l1, "L1", "l1"), kRows);
    section.body += "</div>\n</div>\n";
    Table use = use_table(map);
    section.body += links(use);
    section.tables.push_back(std::move(use));
  });
  return section;
}

} // namespace report_page

std::string memory_map_svg(const MemoryMap& map, const std::string& title) {
  using namespace report_page;
  constexpr double kTop = 56.0;
  const double height = kTop + 2 * kAreaPanelHeight;
  std::string out = svg::open(kAreaPanelWidth, height, title);
  out += fmt::format("<style>{}</style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n", chart_style());
  out += svg::text(0, 16, "start", "lane-name", title) + "\n";
  double at = 0.0;
  for (const LegendEntry& entry : memory_legend(map)) {
    out += fmt::format("<rect class=\"{}\" x=\"{:.0f}\" y=\"28\" width=\"10\" height=\"10\"/>", entry.css, at);
    out += svg::text(at + 15, 37, "start", "tick", entry.text) + "\n";
    at += 40.0 + 7.0 * static_cast<double>(entry.text.size());
  }
  out += area_panel(memory_chart(map, map.dram, "DRAM"), kTop);
  return out + area_panel(memory_chart(map, map.l1, "L1"), kTop + kAreaPanelHeight) + "</svg>\n";
}

} // namespace tessera::bringup
