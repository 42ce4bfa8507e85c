#include "apps/cli/memory_map.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace tessera::cli {
namespace {

constexpr std::size_t kRowsHeld = 12;

std::int64_t total(const MemoryHistory::ByKind& used) {
  return std::accumulate(used.begin(), used.end(), std::int64_t{0});
}

/// "layers.3.mlp.w1" as "layers.*.mlp.w1".
std::string of_all_layers(std::string name) {
  constexpr std::string_view kLayers = "layers.";
  const std::size_t at = name.find(kLayers);
  if (at == std::string::npos) return name;
  const std::size_t first = at + kLayers.size();
  const std::size_t last = std::min(name.find_first_not_of("0123456789", first), name.size());
  return last > first ? name.replace(first, last - first, "*") : name;
}

void note(const runtime::BankAllocator& allocator, MemoryHistory& history) {
  const auto& usage = allocator.usage();
  history.used.push_back(usage.used_by_kind);
  if (usage.used_bytes <= history.peak) return;
  history.peak = usage.used_bytes;
  history.peak_op = history.used.size() - 1;
  history.held.clear();
  for (const auto& [address, allocation] : allocator.allocations())
    history.held[of_all_layers(allocation.label.name)] += allocation.bytes_per_bank * allocator.layout().banks;
}

/// Tensors by bytes, the largest first.
std::vector<std::pair<std::string, std::int64_t>> largest(const MemoryHistory& history) {
  std::vector<std::pair<std::string, std::int64_t>> rows(history.held.begin(), history.held.end());
  std::ranges::stable_sort(rows, [](const auto& a, const auto& b) { return a.second > b.second; });
  return rows;
}

/// "mul in layers.0.mlp".
std::string place(const MemoryMap& map, std::size_t op) {
  const auto& [name, scope] = map.ops.at(op);
  return scope.empty() ? name : fmt::format("{} in {}", name, scope);
}

std::size_t end_of(const MemoryMap& map, std::size_t phase) {
  return phase + 1 < map.phases.size() ? map.phases[phase + 1].first_op : map.ops.size();
}

/// The op after which a phase uses most.
std::size_t highest(const MemoryHistory& history, std::size_t first, std::size_t last) {
  std::size_t best = first;
  for (std::size_t op = first; op < last; ++op)
    if (total(history.used[op]) > total(history.used[best])) best = op;
  return best;
}

double megabytes(std::int64_t bytes) {
  return static_cast<double>(bytes) / 1e6;
}

std::string held_text(const MemoryHistory& history, std::string_view memory) {
  std::string text = fmt::format("\nheld at the peak of {:<34} {:>10}\n", memory, "MB");
  const auto rows = largest(history);
  for (std::size_t i = 0; i < std::min(rows.size(), kRowsHeld); ++i)
    text += fmt::format("  {:<52} {:>10.2f}\n", rows[i].first, megabytes(rows[i].second));
  if (rows.size() > kRowsHeld) text += fmt::format("  and {} more\n", rows.size() - kRowsHeld);
  return text;
}

nlohmann::json history_json(const MemoryMap& map, const MemoryHistory& history) {
  nlohmann::json used = nlohmann::json::array();
  for (const auto& of_op : history.used) used.push_back(total(of_op));
  nlohmann::json held = nlohmann::json::object();
  for (const auto& [name, bytes] : history.held) held[name] = bytes;
  return {{"peak_bytes", history.peak},
          {"peak_op", map.ops.empty() ? "" : place(map, history.peak_op)},
          {"capacity_bytes", history.capacity},
          {"held_bytes", held},
          {"used_bytes", used}};
}

// The picture, in pixels.
constexpr double kLeft = 80.0;
constexpr double kWidth = 960.0;
constexpr double kHeight = 200.0;
constexpr double kPanel = 280.0;
constexpr double kTop = 70.0;

constexpr std::string_view kStyle = R"(
  svg { --ink: #1f2328; --faint: #6a737d; --grid: #d5dbe1; --paper: #ffffff; }
  @media (prefers-color-scheme: dark) {
    svg { --ink: #e6edf3; --faint: #9aa4af; --grid: #363c44; --paper: #0d1117; }
  }
  .paper { fill: var(--paper); } .grid { stroke: var(--grid); }
  text { font: 12px sans-serif; fill: var(--ink); } .faint { fill: var(--faint); }
  .k0 { fill: #6ba3d6; } .k1 { fill: #f3a35c; } .k2 { fill: #79bd6f; } .k3 { fill: #c493bb; } .k4 { fill: #9aa3ad; }
)";

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char c : text) safe += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : std::string(1, c);
  return safe;
}

/// Stacked areas of one memory.
std::string panel(const MemoryMap& map, const MemoryHistory& history, std::string_view name, double top) {
  const auto count = static_cast<double>(std::max<std::size_t>(history.used.size(), 1));
  const double most = 1.08 * static_cast<double>(std::max<std::int64_t>(history.peak, 1));
  const auto x = [&](double op) { return kLeft + kWidth * op / count; };
  const auto y = [&](double bytes) { return top + kHeight * (1.0 - bytes / most); };
  std::string svg =
      fmt::format("<text x=\"16\" y=\"{:.0f}\">{} of a chip: {:.2f} of {:.0f} MB at the peak, after {}</text>\n",
                  top - 12, name, megabytes(history.peak), megabytes(history.capacity),
                  map.ops.empty() ? "" : escaped(place(map, history.peak_op)));
  for (int tick = 0; tick <= 4; ++tick) {
    const double bytes = static_cast<double>(history.peak) * tick / 4;
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
        "<text class=\"faint\" x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"end\">{:.4g} MB</text>\n",
        kLeft, kLeft + kWidth, y(bytes), y(bytes), kLeft - 6, y(bytes) + 4, bytes / 1e6);
  }
  std::vector<double> below(history.used.size(), 0.0);
  for (std::size_t kind = 0; kind < runtime::kMemoryKinds; ++kind) {
    std::string upper;
    std::string lower;
    for (std::size_t op = 0; op < history.used.size(); ++op) {
      const double from = below[op];
      below[op] += static_cast<double>(history.used[op][kind]);
      const auto at = static_cast<double>(op);
      upper += fmt::format("{:.1f},{:.1f} {:.1f},{:.1f} ", x(at), y(below[op]), x(at + 1), y(below[op]));
      lower = fmt::format("{:.1f},{:.1f} {:.1f},{:.1f} ", x(at + 1), y(from), x(at), y(from)) + lower;
    }
    svg += fmt::format("<polygon class=\"k{}\" points=\"{}{}\"/>\n", kind, upper, lower);
  }
  for (const MemoryMap::Phase& phase : map.phases) {
    const double at = x(static_cast<double>(phase.first_op));
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>"
        "<text class=\"faint\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n",
        at, at, top, top + kHeight + 6, at + 4, top + kHeight + 16, phase.name);
  }
  return svg;
}

} // namespace

MemoryWatch::MemoryWatch(runtime::MeshDevice& device) : device_(device) {
  map_.dram.capacity = device.allocator(BufferType::DRAM).capacity_bytes();
  map_.l1.capacity = device.allocator(BufferType::L1).capacity_bytes();
  device_.add_observer(*this);
}

MemoryWatch::~MemoryWatch() {
  device_.remove_observer(*this);
}

void MemoryWatch::begin(std::string phase) {
  map_.phases.push_back({std::move(phase), map_.ops.size()});
}

void MemoryWatch::after(runtime::MeshDevice& device, const OpRecord& record, const runtime::ProgramRun&) {
  map_.ops.push_back({record.name, record.scope});
  note(device.allocator(BufferType::DRAM), map_.dram);
  note(device.allocator(BufferType::L1), map_.l1);
}

std::string memory_map_text(const MemoryMap& map) {
  std::string text = fmt::format("\n{:<10} {:>6} {:>11}  {:<44} {:>9}  {}\n", "over time", "ops", "DRAM, MB",
                                 "highest after", "L1, MB", "highest after");
  for (std::size_t i = 0; i < map.phases.size(); ++i) {
    const std::size_t first = map.phases[i].first_op;
    const std::size_t last = end_of(map, i);
    if (first == last) continue;
    const std::size_t dram = highest(map.dram, first, last);
    const std::size_t l1 = highest(map.l1, first, last);
    const auto after = [&](const MemoryHistory& history, std::size_t op) {
      return total(history.used[op]) > 0 ? place(map, op) : "-";
    };
    text += fmt::format("{:<10} {:>6} {:>11.1f}  {:<44} {:>9.2f}  {}\n", map.phases[i].name, last - first,
                        megabytes(total(map.dram.used[dram])), after(map.dram, dram), megabytes(total(map.l1.used[l1])),
                        after(map.l1, l1));
  }
  return text + held_text(map.dram, "DRAM") + held_text(map.l1, "L1");
}

nlohmann::json memory_map_json(const MemoryMap& map) {
  nlohmann::json phases = nlohmann::json::array();
  for (const MemoryMap::Phase& phase : map.phases)
    phases.push_back({{"name", phase.name}, {"first_op", phase.first_op}});
  return {{"phases", phases}, {"dram", history_json(map, map.dram)}, {"l1", history_json(map, map.l1)}};
}

std::string memory_map_svg(const MemoryMap& map, const std::string& title) {
  const double width = kLeft + kWidth + 16;
  const double height = kTop + 2 * kPanel;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
      "width=\"{0:.0f}\">\n<style>{2}</style>\n"
      "<rect class=\"paper\" width=\"{0:.0f}\" height=\"{1:.0f}\"/>\n<text x=\"16\" y=\"22\">{3}</text>\n",
      width, height, kStyle, escaped(title));
  double at = kLeft;
  for (std::size_t kind = 0; kind < runtime::kMemoryKinds; ++kind) {
    const auto label = runtime::to_string(static_cast<runtime::MemoryKind>(kind));
    svg += fmt::format(
        "<rect class=\"k{}\" x=\"{:.0f}\" y=\"32\" width=\"10\" height=\"10\"/><text class=\"faint\" "
        "x=\"{:.0f}\" y=\"41\">{}</text>\n",
        kind, at, at + 14, label);
    at += 40.0 + 7.0 * static_cast<double>(label.size());
  }
  return svg + panel(map, map.dram, "DRAM", kTop + 10) + panel(map, map.l1, "L1", kTop + 10 + kPanel) + "</svg>\n";
}

} // namespace tessera::cli
