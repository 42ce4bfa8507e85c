// The section of the timeline: ops by module, on this host and as predicted for the card, never in one picture.

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "tessera/bringup/recorded_steps.hpp"
#include "tessera/bringup/report_page/section.hpp"
#include "tessera/bringup/report_page/svg.hpp"

namespace tessera::bringup::report_page {
namespace {

/// An op and when it ran, on whichever machine.
struct Timed {
  std::string name;
  std::string scope;
  double begin_us = 0.0;
  double time_us = 0.0;
};

/// "layers.3.attention" as "attention", what has no module as "other".
std::string kind_of(const std::string& scope) {
  const std::size_t dot = scope.rfind('.');
  const std::string last = scope.substr(dot == scope.npos ? 0 : dot + 1);
  if (last.empty()) return "other";
  const bool number = std::ranges::all_of(last, [](char c) { return c >= '0' && c <= '9'; });
  return number ? "layer" : last;
}

struct Kinds {
  std::vector<std::string> names; // in order of appearance
  std::map<std::string, double> time_us;
  std::map<std::string, std::int64_t> ops;
};

Kinds kinds_of(const std::vector<Timed>& ops) {
  Kinds kinds;
  for (const Timed& op : ops) {
    const std::string kind = kind_of(op.scope);
    if (kinds.ops[kind]++ == 0) kinds.names.push_back(kind);
    kinds.time_us[kind] += op.time_us;
  }
  // A classifier's operators are many: those that take longest have lanes of their own.
  constexpr std::size_t kMostLanes = 12;
  if (kinds.names.size() > kMostLanes) {
    std::ranges::stable_sort(kinds.names,
                             [&](const auto& a, const auto& b) { return kinds.time_us[a] > kinds.time_us[b]; });
    kinds.names.resize(kMostLanes);
  }
  return kinds;
}

std::string chart(const std::string& title, const std::vector<Timed>& ops) {
  const Kinds kinds = kinds_of(ops);
  double end = 0.0;
  for (const Timed& op : ops) end = std::max(end, op.begin_us + op.time_us);
  const bool milliseconds = end >= 2000.0;
  const double scale = milliseconds ? 1e-3 : 1.0;
  LaneChart chart{.title = title, .unit = milliseconds ? "ms" : "µs"};
  for (std::size_t i = 0; i < kinds.names.size(); ++i) {
    LaneChart::Lane& lane = chart.lanes.emplace_back(LaneChart::Lane{kinds.names[i], {}});
    for (const Timed& op : ops) {
      if (kind_of(op.scope) != kinds.names[i]) continue;
      lane.blocks.push_back({op.begin_us * scale, (op.begin_us + op.time_us) * scale, fmt::format("s{}", i % 6),
                             op.scope.empty() ? op.name : fmt::format("{} in {}", op.name, op.scope)});
    }
  }
  return fmt::format("<figure><div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">{}</div></figure>\n",
                     escaped(title), to_svg(chart));
}

double total(const std::vector<Timed>& ops) {
  double sum = 0.0;
  for (const Timed& op : ops) sum += op.time_us;
  return sum;
}

using Steps = std::vector<std::pair<std::string, std::vector<Timed>>>;

Table table_of(const std::string& name, const std::string& caption, const Steps& steps) {
  Table table{.name = name,
              .caption = caption,
              .columns = {{"step", "step"},
                          {"module", "module"},
                          {"ops", "ops", true},
                          {"time_us", "µs", true},
                          {"share", "share", true}},
              .rows = {}};
  for (const auto& [step, ops] : steps) {
    Kinds kinds = kinds_of(ops);
    const double all = std::max(total(ops), 1e-12);
    for (const std::string& kind : kinds.names) {
      const double time_us = kinds.time_us[kind];
      table.rows.push_back({Cell::text(step), Cell::text(kind), Cell::integer(kinds.ops[kind]), Cell::number(time_us),
                            Cell::number(time_us / all, fmt::format("{:.1f} %", 100.0 * time_us / all))});
    }
  }
  return table;
}

/// One machine's block: a picture for each step, and the table.
void add_block(Section& section, const std::string& key, const std::string& machine, const Steps& steps) {
  for (const auto& [step, ops] : steps) {
    section.body +=
        fmt::format("<h4>{}: {} ops that take {} ms</h4>\n", escaped(step), ops.size(), short_number(total(ops) / 1e3));
    section.body += chart(fmt::format("{}, {}", step, machine), ops);
  }
  Table table = table_of("timeline-" + key, "Time by module, " + machine, steps);
  section.body += collapsible("Time by module", to_html(table), false);
  section.tables.push_back(std::move(table));
}

Steps measured_steps(const RunFolder& run) {
  Steps steps;
  for (const MeasuredStep& step : measured_steps_from_json(run.timeline.content)) {
    auto& ops = steps.emplace_back(step.name, std::vector<Timed>()).second;
    for (const MeasuredOp& op : step.ops) ops.push_back({op.name, op.scope, op.begin_us, op.time_us});
  }
  return steps;
}

/// The card's ops one after the other.
Steps predicted_steps(const RecordedSteps& recorded) {
  Steps steps;
  for (const StepDetail& step : recorded.steps) {
    auto& ops = steps.emplace_back(step.name, std::vector<Timed>()).second;
    double begin = 0.0;
    for (const OpDetail& op : step.ops) {
      ops.push_back({op.name, op.scope, begin, op.predicted_us.value_or(0.0)});
      begin += op.predicted_us.value_or(0.0);
    }
  }
  return steps;
}

} // namespace

Section timeline_section(const RunFolder& run) {
  Section section{.id = "timeline",
                  .title = "Timeline",
                  .lead =
                      "The ops of one step by module, each from its begin to its end. The two machines have a scale of "
                      "their own each."};
  section.body +=
      "<figure id=\"figure-timeline\">\n<section class=\"speed measured\"><h3>Measured <small>on this host, op by "
      "op</small></h3>\n";
  fill_from(section, run.timeline,
            [&] { add_block(section, "measured", "measured on this host", measured_steps(run)); });
  section.body +=
      "</section>\n<section class=\"speed predicted\"><h3>Predicted <small>for the card, one op after the "
      "other</small></h3>\n";
  fill_from(section, run.ops, [&] {
    const RecordedSteps recorded = recorded_steps_from_json(run.ops.content);
    if (recorded.release.empty()) return section.add_missing("Nothing is predicted for this board.");
    section.body += fmt::format("<p class=\"lead\">Of {}; no card was used. Without the host's part.</p>\n",
                                escaped(recorded.release));
    add_block(section, "predicted", "predicted for the card", predicted_steps(recorded));
  });
  section.body += "</section>\n</figure>\n";
  return section;
}

} // namespace tessera::bringup::report_page
