// The section of the modules: errors of each, local beside accumulated.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "tessera/bringup/report_page/section.hpp"
#include "tessera/bringup/report_page/svg.hpp"

namespace tessera::bringup::report_page {
namespace {

/// A way of running modules, and the stages whose rows say what came of it.
struct Way {
  std::string key;
  std::string title;
  bool local = false; ///< a module is fed with the reference's values; else with what the device made before it
  std::vector<std::string> stages;
  std::string prefix; ///< of the rows' names, left out
  Marker marker = Marker::CIRCLE;
  std::string css;
};

const std::vector<Way>& ways(bool classifier) {
  static const std::vector<Way> language = {
      {"local_decode", "local, decode", true, {"decode-modules", "decoder-layer"}, "", Marker::SQUARE, "s1"},
      {"local_prefill", "local, prefill", true, {"prefill-modules"}, "", Marker::DIAMOND, "s2"},
      {"accumulated_decode", "accumulated, decode", false, {"full-decode"}, "", Marker::CIRCLE, "s0"},
      {"accumulated_prefill", "accumulated, prefill", false, {"full-model"}, "prefill ", Marker::CIRCLE, "s3"}};
  static const std::vector<Way> of_classifiers = {
      {"local", "local", true, {"operators", "blocks"}, "", Marker::SQUARE, "s1"},
      {"accumulated", "accumulated", false, {"full-model"}, "", Marker::CIRCLE, "s0"}};
  return classifier ? of_classifiers : language;
}

struct Measure {
  const char* figure;
  const char* title;
  bool from_one; ///< the chart shows 1 minus it
};
constexpr Measure kMeasures[] = {{"pcc", "1 − PCC, logarithmic", true},
                                 {"max_abs_error", "maximum absolute error, logarithmic", false},
                                 {"relative_frobenius_error", "relative Frobenius error, logarithmic", false}};

/// Rows by module, for each way.
struct Modules {
  std::vector<std::string> names; ///< embedding, then by layer, then the rest
  std::vector<std::map<std::string, const Row*>> rows;
};

/// "layers.12.mlp" -> 12; nothing outside the layers.
std::optional<int> layer_of(const std::string& name) {
  constexpr std::string_view kPrefix = "layers.";
  if (!name.starts_with(kPrefix)) return {};
  int layer = 0;
  std::size_t at = kPrefix.size();
  for (; at < name.size() && name[at] >= '0' && name[at] <= '9' && layer < 100'000; ++at)
    layer = layer * 10 + (name[at] - '0');
  return at > kPrefix.size() ? std::optional(layer) : std::nullopt;
}

/// A layer's modules before the layer as a whole.
std::pair<int, int> place(const std::string& name) {
  if (name == "embedding") return {-1, 0};
  const auto layer = layer_of(name);
  if (!layer) return {std::numeric_limits<int>::max(), name == "logits" ? 1 : 0};
  return {*layer, name.find('.', 7) == name.npos ? 1 : 0};
}

Modules collect(const Report& report) {
  Modules modules;
  for (const Way& way : ways(report.classifier)) {
    auto& rows = modules.rows.emplace_back();
    for (const StageResult& stage : report.stages) {
      if (std::find(way.stages.begin(), way.stages.end(), stage.name) == way.stages.end()) continue;
      for (const Row& row : stage.rows) {
        if (!row.module.starts_with(way.prefix)) continue;
        const std::string name = row.module.substr(way.prefix.size());
        rows.emplace(name, &row);
        if (std::find(modules.names.begin(), modules.names.end(), name) == modules.names.end())
          modules.names.push_back(name);
      }
    }
  }
  if (!report.classifier)
    std::stable_sort(modules.names.begin(), modules.names.end(),
                     [](const std::string& a, const std::string& b) { return place(a) < place(b); });
  return modules;
}

const Figure* find(const Row* row, std::string_view name) {
  if (row == nullptr) return nullptr;
  const auto found =
      std::find_if(row->figures.begin(), row->figures.end(), [&](const Figure& f) { return f.name == name; });
  return found == row->figures.end() ? nullptr : &*found;
}

const Row* row_of(const Modules& modules, std::size_t way, const std::string& name) {
  const auto found = modules.rows[way].find(name);
  return found == modules.rows[way].end() ? nullptr : found->second;
}

/// The places along the chart: outputs that the next ones are made from.
std::vector<std::string> stops(const Modules& modules, bool classifier) {
  std::vector<std::string> names;
  for (const std::string& name : modules.names) {
    bool is_stop = classifier || name == "embedding" || name == "logits" || place(name).second == 1;
    if (classifier) is_stop = row_of(modules, 1, name) != nullptr;
    if (is_stop) names.push_back(name);
  }
  return names;
}

/// Where a module stands: at the output that it is a part of.
std::optional<double> stop_of(const std::vector<std::string>& stops, const std::string& name) {
  std::optional<double> best;
  std::size_t length = 0;
  for (std::size_t i = 0; i < stops.size(); ++i) {
    const bool part = name == stops[i] || name.starts_with(stops[i] + ".");
    if (part && stops[i].size() >= length) best = static_cast<double>(i), length = stops[i].size();
  }
  if (!best && (name == "final_norm" || name == "lm_head") && !stops.empty() && stops.back() == "logits")
    return static_cast<double>(stops.size() - 1);
  return best;
}

std::string short_name(const std::string& stop, bool classifier) {
  if (classifier) return stop.size() > 9 ? stop.substr(stop.size() - 9) : stop;
  if (const auto layer = layer_of(stop)) return fmt::format("{}", *layer);
  return stop == "embedding" ? "emb" : stop;
}

LineChart chart_of(const Modules& modules, const Report& report, const Measure& measure) {
  constexpr double kExact = 1e-9; // what is below is the rounding of PCC itself; it stands at the bottom, as 0 does
  const auto names = stops(modules, report.classifier);
  LineChart chart{.title = measure.title, .x_title = report.classifier ? "block" : "layer", .names = {}};
  for (const std::string& name : names) chart.names.push_back(short_name(name, report.classifier));
  std::set<double> limits;
  for (std::size_t way = 0; way < modules.rows.size(); ++way) {
    const Way& kind = ways(report.classifier)[way];
    Series series{.css = kind.css, .line = !kind.local, .marker = kind.marker};
    for (const std::string& name : modules.names) {
      const Figure* figure = find(row_of(modules, way, name), measure.figure);
      const auto stop = stop_of(names, name);
      if (figure == nullptr || !stop) continue;
      const auto shown = [&](double value) {
        const double error = measure.from_one ? 1.0 - value : value;
        return error < kExact ? 0.0 : error;
      };
      const double value = std::isfinite(figure->value) ? shown(figure->value) : figure->value;
      series.points.push_back({*stop, value,
                               fmt::format("{}, {}: {} {}", name, kind.title, figure_title(measure.figure),
                                           figure_text(measure.figure, figure->value))});
      if (figure->bound) limits.insert(shown(figure->bound->limit));
    }
    chart.series.push_back(std::move(series));
  }
  // The loosest limit and the tightest frame the rest; more lines would hide the points.
  if (!limits.empty()) chart.limits.push_back({"loosest limit", *limits.rbegin()});
  if (limits.size() > 1) chart.limits.push_back({"tightest", *limits.begin()});
  return chart;
}

Table table_of(const Modules& modules, bool classifier) {
  Table table{.name = "modules", .caption = "Errors by module", .columns = {{"module", "module"}}, .rows = {}};
  std::vector<std::size_t> shown;
  for (std::size_t way = 0; way < modules.rows.size(); ++way) {
    if (modules.rows[way].empty()) continue;
    shown.push_back(way);
    const Way& kind = ways(classifier)[way];
    for (const Measure& measure : kMeasures)
      table.columns.push_back(
          {fmt::format("{}_{}", kind.key, measure.figure), figure_title(measure.figure), true, kind.title});
  }
  for (const std::string& name : modules.names) {
    std::vector<Cell> cells{Cell::text(name, place(name).second == 1 || classifier ? "name" : "name inner")};
    for (const std::size_t way : shown) {
      for (const Measure& measure : kMeasures) {
        const Figure* figure = find(row_of(modules, way, name), measure.figure);
        if (figure == nullptr) {
          cells.push_back({nullptr, "", ""});
        } else {
          cells.push_back(
              Cell::number(figure->value, figure_text(figure->name, figure->value), figure->holds() ? "" : "broken"));
        }
      }
    }
    table.rows.push_back(std::move(cells));
  }
  return table;
}

/// Which layers no stage has judged by themselves.
std::string not_judged(const Modules& modules) {
  std::vector<std::string> judged;
  std::size_t layers = 0;
  for (const std::string& name : modules.names) {
    if (!layer_of(name) || name.find('.', 7) != name.npos) continue;
    ++layers;
    if (row_of(modules, 0, name) != nullptr || row_of(modules, 1, name) != nullptr)
      judged.push_back(fmt::format("{}", *layer_of(name)));
  }
  if (judged.empty() || judged.size() == layers) return "";
  return fmt::format("Local errors are those of layers {} of {}; bringup --all-layers judges them all.",
                     fmt::join(judged, ", "), layers);
}

} // namespace

Section modules_section(const RunFolder& run) {
  Section section{.id = "modules",
                  .title = "Errors by module",
                  .lead =
                      "Local: a module fed with the reference's inputs. Accumulated: fed with what the device itself "
                      "made before it, "
                      "so that it shows how errors grow. What is large locally is broken there; what only accumulates "
                      "is precision."};
  const Modules modules = collect(run.report);
  if (modules.names.empty()) {
    section.add_missing("No stage that judges modules was run.");
    return section;
  }
  std::vector<LegendEntry> entries;
  for (std::size_t way = 0; way < modules.rows.size(); ++way) {
    const Way& kind = ways(run.report.classifier)[way];
    const char* shape = kind.marker == Marker::SQUARE    ? "square"
                        : kind.marker == Marker::DIAMOND ? "diamond"
                                                         : "circle";
    if (!modules.rows[way].empty()) entries.push_back({fmt::format("{} {}", kind.css, shape), kind.title});
  }
  entries.push_back({"limit-key", "limit"});
  section.body += "<figure id=\"figure-modules\">\n" + legend(entries) + "<div class=\"multiples\">\n";
  for (const Measure& measure : kMeasures) section.body += to_svg(chart_of(modules, run.report, measure));
  section.body += "</div>\n</figure>\n";
  if (!run.report.classifier) {
    const std::string missing = not_judged(modules);
    if (!missing.empty()) section.body += element("p", "note", escaped(missing)) + "\n";
  }
  Table table = table_of(modules, run.report.classifier);
  constexpr std::size_t kManyRows = 40;
  section.body += collapsible(fmt::format("Table of {} modules", table.rows.size()), to_html(table),
                              table.rows.size() <= kManyRows);
  section.tables.push_back(std::move(table));
  return section;
}

} // namespace tessera::bringup::report_page
