// Wide pictures: areas, lanes, strips.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "tessera/bringup/report_page/html.hpp"
#include "tessera/bringup/report_page/svg.hpp"
#include "tessera/bringup/report_page/svg_parts.hpp"

namespace tessera::bringup::report_page {
namespace {

constexpr double kWidth = kAreaPanelWidth;
constexpr double kRight = 12.0;

// Areas.
constexpr double kAreaLeft = 72.0;
constexpr double kAreaTop = 22.0;
constexpr double kAreaBottom = 30.0;

/// The outline of values between two lines, with a corner only where one of them changes.
std::string outline(const std::vector<double>& below, const std::vector<double>& above, double x0, double dx,
                    const std::function<double(double)>& y_of) {
  const auto edge = [&](const std::vector<double>& values, bool forward) {
    std::string points;
    const auto count = values.size();
    for (std::size_t i = 0; i < count;) {
      std::size_t last = i;
      while (last + 1 < count && values[forward ? last + 1 : count - 2 - last] == values[forward ? i : count - 1 - i])
        ++last;
      const double value = y_of(values[forward ? i : count - 1 - i]);
      const double from = forward ? static_cast<double>(i) : static_cast<double>(count - i);
      const double to = forward ? static_cast<double>(last + 1) : static_cast<double>(count - 1 - last);
      points += fmt::format("{:.1f},{:.1f} {:.1f},{:.1f} ", x0 + dx * from, value, x0 + dx * to, value);
      i = last + 1;
    }
    return points;
  };
  return edge(above, true) + edge(below, false);
}

// Lanes.
constexpr double kLaneLeft = 128.0;
constexpr double kLaneHeight = 18.0;
constexpr double kLaneStep = 24.0;
constexpr double kLaneTop = 8.0;
// Blocks that share this width are drawn as one, which bounds the size of the picture.
constexpr double kThinnest = 0.6;

std::string lane_blocks(const LaneChart& chart, const LaneChart::Lane& lane, double y, double end_of_all) {
  const auto x_of = [&](double time) { return kLaneLeft + (kWidth - kLaneLeft - kRight) * time / end_of_all; };
  std::string out;
  for (std::size_t i = 0; i < lane.blocks.size();) {
    const LaneChart::Block* longest = &lane.blocks[i];
    const double begin = x_of(longest->begin);
    double end = x_of(longest->end);
    std::size_t together = 1;
    for (++i; i < lane.blocks.size() && x_of(lane.blocks[i].end) < begin + kThinnest; ++i, ++together) {
      if (lane.blocks[i].end - lane.blocks[i].begin > longest->end - longest->begin) longest = &lane.blocks[i];
      end = x_of(lane.blocks[i].end);
    }
    out += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.0f}\" class=\"{}\"><title>{}: {} "
        "{}{}</title></rect>",
        begin, y, std::max(end - begin, kThinnest), kLaneHeight, longest->css, escaped(longest->title),
        short_number(longest->end - longest->begin), chart.unit,
        together > 1 ? fmt::format(", and {} shorter", together - 1) : "");
  }
  return out + "\n";
}

// Strips.
constexpr double kStripHeight = 56.0;
constexpr double kStripTop = 24.0;
constexpr double kStripLeft = 44.0;

} // namespace

std::string area_panel(const AreaChart& chart, double top) {
  std::size_t steps = 0;
  for (const AreaChart::Kind& kind : chart.kinds) steps = std::max(steps, kind.values.size());
  std::vector<double> above(steps, 0.0);
  for (const AreaChart::Kind& kind : chart.kinds) {
    for (std::size_t i = 0; i < kind.values.size(); ++i) above[i] += kind.values[i];
  }
  const double most = steps == 0 ? 0.0 : *std::max_element(above.begin(), above.end());
  const Axis axis = Axis::linear(0.0, most * chart.scale);
  const double height = kAreaPanelHeight - kAreaTop - kAreaBottom;
  const auto y_of = [&](double value) { return top + kAreaTop + height * (1.0 - axis.place(value * chart.scale)); };
  const double dx = (kWidth - kAreaLeft - kRight) / static_cast<double>(std::max<std::size_t>(steps, 1));
  std::string out = svg::text(0, top + 12, "start", "axis-title", chart.title) + "\n";
  for (const double tick : axis.ticks()) {
    const double y = y_of(tick / chart.scale);
    out += svg::line(kAreaLeft, y, kWidth - kRight, y, "grid");
    out +=
        svg::text(kAreaLeft - 6, y + 3.5, "end", "tick", fmt::format("{} {}", svg::tick_text(tick), chart.unit)) + "\n";
  }
  std::fill(above.begin(), above.end(), 0.0);
  for (const AreaChart::Kind& kind : chart.kinds) {
    const std::vector<double> below = above;
    double sum = 0.0;
    for (std::size_t i = 0; i < kind.values.size(); ++i) sum += kind.values[i], above[i] += kind.values[i];
    if (sum == 0.0) continue;
    out += fmt::format("<polygon class=\"{}\" points=\"{}\"><title>{}</title></polygon>\n", kind.css,
                       outline(below, above, kAreaLeft, dx, y_of), escaped(kind.name));
  }
  for (const AreaChart::Mark& phase : chart.phases) {
    const double x = kAreaLeft + dx * phase.at;
    out += svg::line(x, top + kAreaTop, x, top + kAreaTop + height + 6, "phase");
    out += svg::text(x + 4, top + kAreaTop + height + 16, "start", "tick", phase.text) + "\n";
  }
  for (const AreaChart::Mark& mark : chart.highlights) {
    const auto step = static_cast<std::size_t>(mark.at);
    if (step >= above.size()) continue;
    const double x = kAreaLeft + dx * (mark.at + 0.5);
    const bool right_half = x > kWidth * 0.45;
    out += svg::marker(Marker::DIAMOND, x, y_of(above[step]), "peak", mark.text);
    out += svg::text(right_half ? x - 8 : x + 8, y_of(above[step]) - 5, right_half ? "end" : "start", "peak-text",
                     mark.text) +
           "\n";
  }
  return out;
}

std::string to_svg(const AreaChart& chart) {
  return svg::open(kAreaPanelWidth, kAreaPanelHeight, chart.title) + area_panel(chart, 0.0) + "</svg>\n";
}

std::string to_svg(const LaneChart& chart) {
  double end = 0.0;
  for (const LaneChart::Lane& lane : chart.lanes) {
    for (const LaneChart::Block& block : lane.blocks) end = std::max(end, block.end);
  }
  if (end <= 0.0) end = 1.0;
  const Axis axis = Axis::linear(0.0, end);
  const double bottom = kLaneTop + kLaneStep * static_cast<double>(chart.lanes.size());
  std::string out = svg::open(kWidth, bottom + 24, chart.title);
  for (const double tick : axis.ticks()) {
    if (tick > end) continue;
    const double x = kLaneLeft + (kWidth - kLaneLeft - kRight) * tick / end;
    out += svg::line(x, kLaneTop - 4, x, bottom, "grid");
    const bool last = x > kWidth - 30;
    out += svg::text(last ? kWidth : x, bottom + 14, last ? "end" : "middle", "tick",
                     fmt::format("{} {}", svg::tick_text(tick), chart.unit)) +
           "\n";
  }
  double y = kLaneTop;
  for (const LaneChart::Lane& lane : chart.lanes) {
    out += svg::text(kLaneLeft - 8, y + kLaneHeight / 2 + 4, "end", "lane-name", lane.name);
    out += lane_blocks(chart, lane, y, end);
    y += kLaneStep;
  }
  return out + "</svg>\n";
}

std::string to_svg(const BarStrip& strip) {
  double most = strip.most;
  for (const double value : strip.values) {
    if (strip.most == 0.0 && std::isfinite(value)) most = std::max(most, value);
  }
  const Axis axis = Axis::linear(0.0, most);
  const double bottom = kStripTop + kStripHeight;
  const double dx = (kWidth - kStripLeft - kRight) / static_cast<double>(std::max<std::size_t>(strip.values.size(), 1));
  std::string out = svg::open(kWidth, bottom + 26, strip.title);
  for (const double tick : {0.0, axis.high()}) {
    const double y = bottom - kStripHeight * axis.place(tick);
    out += svg::line(kStripLeft, y, kWidth - kRight, y, "grid");
    out += svg::text(kStripLeft - 5, y + 3.5, "end", "tick", svg::tick_text(tick));
  }
  out += svg::text(0, 10, "start", "axis-title", strip.unit) + "\n";
  std::string hits;
  std::string misses;
  for (std::size_t i = 0; i < strip.values.size(); ++i) {
    if (std::isnan(strip.values[i])) continue;
    const double x = kStripLeft + dx * static_cast<double>(i);
    const double high = std::max(0.8, kStripHeight * axis.place(strip.values[i]));
    const bool marked = i < strip.marked.size() && strip.marked[i];
    const double gap = std::min(1.0, dx / 4);
    (marked ? misses : hits) +=
        fmt::format("M{:.1f} {:.1f}h{:.1f}v{:.1f}h-{:.1f}z", x, bottom - high, dx - gap, high, dx - gap);
    if (marked)
      out += fmt::format("<path d=\"M{:.1f} {:.1f}l3 6h-6z\" class=\"miss\"/>", x + (dx - gap) / 2, bottom + 4);
  }
  out += fmt::format("<path d=\"{}\" class=\"hit-bar\"/><path d=\"{}\" class=\"miss-bar\"/>\n", hits, misses);
  const auto count = static_cast<double>(strip.values.size());
  for (const double at : {0.0, std::floor(count / 2), count - 1}) {
    if (at < 0) continue;
    out += svg::text(kStripLeft + dx * (at + 0.5), bottom + 24,
                     at == 0.0         ? "start"
                     : at + 1 == count ? "end"
                                       : "middle",
                     "tick", fmt::format("{}{}", at == 0.0 ? "position " : "", at));
  }
  return out + "</svg>\n";
}

} // namespace tessera::bringup::report_page
