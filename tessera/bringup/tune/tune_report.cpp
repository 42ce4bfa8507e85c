#include "tessera/bringup/tune/tune_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tessera/bringup/report_page/html.hpp"

namespace tessera::bringup {
namespace {

using report_page::escaped;

constexpr std::size_t kSensitivitiesShown = 10;
constexpr std::size_t kTooLargeShown = 8;

bool is_preset(const TunePoint& point) {
  return point.file.size() == 1;
}
bool is_chosen(const TuneResult& result, std::size_t index) {
  return result.chosen && *result.chosen == index;
}

/// The presets that one dot stands for, by name; nothing where an earlier point's label has them.
std::string presets_at(const TuneResult& result, std::size_t index) {
  const auto same = [&](const TunePoint& other) {
    return is_preset(other) && other.cost.weight_bytes == result.points[index].cost.weight_bytes &&
           other.accuracy.top1 == result.points[index].accuracy.top1;
  };
  std::string names;
  for (std::size_t i = 0; i < result.points.size(); ++i) {
    if (!same(result.points[i])) continue;
    if (i < index) return "";
    names += (names.empty() ? "" : ", ") + result.points[i].name;
  }
  return names;
}

/// What the card's memory does not hold, in two lines.
std::string too_large_text(const std::vector<TuneTooLarge>& all) {
  if (all.empty()) return "";
  std::string names;
  for (std::size_t i = 0; i < std::min(all.size(), kTooLargeShown); ++i) names += (i > 0 ? ", " : "") + all[i].name;
  if (all.size() > kTooLargeShown) names += fmt::format(" and {} more", all.size() - kTooLargeShown);
  return fmt::format("does not fit, not measured: {}\n  {}: {}\n", names, all.front().name, all.front().reason);
}

/// The points, the largest first.
std::vector<std::size_t> by_bytes(const TuneResult& result) {
  std::vector<std::size_t> order(result.points.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
    return result.points[a].cost.weight_bytes > result.points[b].cost.weight_bytes;
  });
  return order;
}

std::string row_of(const TuneResult& result, std::size_t index) {
  const TunePoint& point = result.points[index];
  return fmt::format("{:<16} {:>11.3f} {:>13} {:>8.2f} % {:>8.2f} % {:>11.6f}  {}{}\n", point.name,
                     point.cost.weight_bytes / 1e6,
                     point.cost.decode_ns > 0 ? fmt::format("{:.1f}", point.cost.tokens_per_s_user()) : "-",
                     100 * point.accuracy.top1, 100 * point.accuracy.top5, point.accuracy.kl_divergence,
                     point.on_front ? "front" : "", is_chosen(result, index) ? "  <- chosen" : "");
}

nlohmann::json accuracy_json(const TuneAccuracy& accuracy) {
  return {{"top1", accuracy.top1},
          {"top5", accuracy.top5},
          {"kl_divergence", accuracy.kl_divergence},
          {"pcc", accuracy.pcc},
          {"positions", accuracy.positions}};
}

nlohmann::json point_json(const TunePoint& point) {
  return {{"name", point.name},
          {"precision", point.file},
          {"weight_bytes_per_token", point.cost.weight_bytes},
          {"predicted_tokens_per_s_user", point.cost.tokens_per_s_user()},
          {"accuracy", accuracy_json(point.accuracy)},
          {"on_front", point.on_front}};
}

// The picture, in pixels.
constexpr double kLeft = 70.0;
constexpr double kPanelWidth = 420.0;
constexpr double kPanelStep = 520.0;
constexpr double kTop = 70.0;
constexpr double kHeight = 320.0;
constexpr int kTicks = 4;

constexpr std::string_view kStyle = R"(
  svg { --ink: #1f2328; --faint: #6a737d; --grid: #d5dbe1; --paper: #ffffff; --line: #2f74b5; --mark: #c4501b; }
  @media (prefers-color-scheme: dark) {
    svg { --ink: #e6edf3; --faint: #9aa4af; --grid: #363c44; --paper: #0d1117; --line: #6ba3d6; --mark: #f3a35c; }
  }
  .paper { fill: var(--paper); } .grid { stroke: var(--grid); } text { font: 12px sans-serif; fill: var(--ink); }
  .faint { fill: var(--faint); } .front { fill: none; stroke: var(--line); stroke-width: 1.5; }
  .point { fill: var(--line); } .other { fill: var(--faint); } .chosen { fill: none; stroke: var(--mark); stroke-width: 3; }
)";

struct Range {
  double low = 0;
  double high = 1;

  double part(double value) const { return (value - low) / (high - low); }
};

/// All of `range` between ticks at round numbers.
Range rounded(const Range& range) {
  constexpr double kSteps[] = {1, 2, 2.5, 5, 10, 20};
  const double least = std::max(range.high - range.low, 1e-3 * std::max(std::abs(range.high), 1e-9)) / kTicks;
  const double decade = std::pow(10.0, std::floor(std::log10(least)));
  for (const double step : kSteps) {
    const double low = std::floor(range.low / (step * decade)) * step * decade;
    if (low + kTicks * step * decade >= range.high) return {low, low + kTicks * step * decade};
  }
  return range;
}

template <typename Value>
Range range_of(const TuneResult& result, const Value& value) {
  Range range{value(result.points.front()), value(result.points.front())};
  for (const TunePoint& point : result.points) {
    range.low = std::min(range.low, value(point));
    range.high = std::max(range.high, value(point));
  }
  return rounded(range);
}

/// Top-1 against `value`.
template <typename Value>
std::string panel(const TuneResult& result, double left, const std::string& label, const Value& value) {
  const auto top1 = [](const TunePoint& point) { return 100 * point.accuracy.top1; };
  const Range across = range_of(result, value);
  const Range up = range_of(result, top1);
  const auto x = [&](const TunePoint& point) { return left + kPanelWidth * across.part(value(point)); };
  const auto y = [&](const TunePoint& point) { return kTop + kHeight * (1 - up.part(top1(point))); };
  std::string svg;
  for (int tick = 0; tick <= kTicks; ++tick) {
    const double part = static_cast<double>(tick) / kTicks;
    const double height = kTop + kHeight * (1 - part);
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{1:.1f}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>"
        "<text class=\"faint\" x=\"{3:.1f}\" y=\"{4:.1f}\" text-anchor=\"end\">{5:.2f} %</text>"
        "<text class=\"faint\" x=\"{6:.1f}\" y=\"{7:.1f}\" text-anchor=\"middle\">{8:.4g}</text>\n",
        left, left + kPanelWidth, height, left - 6, height + 4, up.low + part * (up.high - up.low),
        left + kPanelWidth * part, kTop + kHeight + 16, across.low + part * (across.high - across.low));
  }
  svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n", left + kPanelWidth / 2,
                     kTop + kHeight + 36, label);
  std::vector<const TunePoint*> front;
  for (const TunePoint& point : result.points)
    if (point.on_front) front.push_back(&point);
  std::ranges::stable_sort(front, [&](auto a, auto b) { return value(*a) < value(*b); });
  std::string line;
  for (const TunePoint* point : front) line += fmt::format("{:.1f},{:.1f} ", x(*point), y(*point));
  svg += fmt::format("<polyline class=\"front\" points=\"{}\"/>\n", line);
  for (std::size_t i = 0; i < result.points.size(); ++i) {
    const TunePoint& point = result.points[i];
    svg += fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\"><title>{}</title></circle>\n",
                       point.on_front ? "point" : "other", x(point), y(point), escaped(point.name));
    if (is_chosen(result, i))
      svg += fmt::format("<circle class=\"chosen\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"8\"/>\n", x(point), y(point));
    const std::string name = is_chosen(result, i) ? "chosen" : is_preset(point) ? presets_at(result, i) : "";
    if (name.empty()) continue;
    // Names stand on the side that has room.
    const bool right = x(point) < left + 0.7 * kPanelWidth;
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x(point) + (right ? 11 : -11),
                       y(point) + (is_chosen(result, i) ? -10 : 16), right ? "start" : "end", escaped(name));
  }
  return svg;
}

} // namespace

std::string tune_table(const TuneResult& result) {
  std::string text = fmt::format("{:<16} {:>11} {:>13} {:>10} {:>10} {:>11}\n", "precision", "MB/token",
                                 "tokens/s/user", "top-1", "top-5", "KL");
  for (const std::size_t i : by_bytes(result)) {
    const TunePoint& point = result.points[i];
    if (point.on_front || is_preset(point) || is_chosen(result, i)) text += row_of(result, i);
  }
  text +=
      "MB/token: weights that a chip reads in a decode step; tokens/s/user: predicted for the card, not measured; "
      "accuracy: measured here.\n";
  text += too_large_text(result.too_large);
  if (result.sensitivities.empty()) return text;
  std::vector<TuneSensitivity> most = result.sensitivities;
  std::ranges::stable_sort(most, [](const auto& a, const auto& b) { return a.kl_change > b.kl_change; });
  most.resize(std::min(most.size(), kSensitivitiesShown));
  text += fmt::format("\n{:<24} {:<24} {:>12} {:>14}\n", "alone changed", "to", "KL", "MB/token");
  for (const TuneSensitivity& one : most) {
    text += fmt::format("{:<24} {:<24} {:>+12.6f} {:>+14.3f}\n", one.knob, one.choice, one.kl_change,
                        one.bytes_change / 1e6);
  }
  return text;
}

nlohmann::json tune_json(const TuneResult& result) {
  nlohmann::json points = nlohmann::json::array();
  for (const std::size_t i : by_bytes(result)) points.push_back(point_json(result.points[i]));
  nlohmann::json sensitivities = nlohmann::json::array();
  for (const TuneSensitivity& one : result.sensitivities) {
    sensitivities.push_back({{"group", one.knob},
                             {"choice", one.choice},
                             {"kl_change", one.kl_change},
                             {"weight_bytes_change", one.bytes_change},
                             {"predicted_decode_ns_change", one.decode_ns_change}});
  }
  nlohmann::json too_large = nlohmann::json::array();
  for (const TuneTooLarge& one : result.too_large)
    too_large.push_back({{"name", one.name}, {"precision", one.file}, {"reason", one.reason}});
  nlohmann::json json{{"points", std::move(points)},
                      {"too_large", std::move(too_large)},
                      {"sensitivities", std::move(sensitivities)},
                      {"calibration", {{"base", accuracy_json(result.base_calibration)}}},
                      {"base", point_json(result.points.front())},
                      {"chosen", nullptr}};
  if (result.chosen) {
    json["chosen"] = point_json(result.points[*result.chosen]);
    json["calibration"]["chosen"] = accuracy_json(result.chosen_calibration);
  }
  return json;
}

std::string tune_svg(const TuneResult& result, const std::string& title) {
  const bool predicted =
      std::ranges::all_of(result.points, [](const TunePoint& point) { return point.cost.decode_ns > 0; });
  const double width = kLeft + (predicted ? kPanelStep : 0) + kPanelWidth + 30;
  const double height = kTop + kHeight + 56;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
      "height=\"{1:.0f}\" role=\"img\">\n<style>{2}</style>\n<rect class=\"paper\" width=\"{0:.0f}\" "
      "height=\"{1:.0f}\"/>\n<text x=\"16\" y=\"26\">{3}</text>\n<text class=\"faint\" x=\"16\" y=\"46\">top-1 "
      "against the reference, measured here; the line joins what nothing else beats in both cost and KL</text>\n",
      width, height, kStyle, escaped(title));
  svg += panel(result, kLeft, "MB of weights read for each token",
               [](const TunePoint& point) { return point.cost.weight_bytes / 1e6; });
  if (predicted) {
    svg += panel(result, kLeft + kPanelStep, "tokens/s of a user, predicted for the card",
                 [](const TunePoint& point) { return point.cost.tokens_per_s_user(); });
  }
  return svg + "</svg>\n";
}

} // namespace tessera::bringup
