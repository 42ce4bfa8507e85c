#include "tessera/bringup/report_page/svg.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tessera/bringup/report_page/html.hpp"
#include "tessera/bringup/report_page/svg_parts.hpp"

namespace tessera::bringup::report_page {

Axis Axis::linear(double low, double high) {
  Axis axis;
  axis.low_ = std::min(low, 0.0);
  const double range = high > axis.low_ ? high - axis.low_ : 1.0;
  const double power = std::pow(10.0, std::floor(std::log10(range / 4)));
  double step = 10.0 * power;
  for (const double factor : {1.0, 2.0, 2.5, 5.0}) {
    if (range / (factor * power) <= 4.0 + 1e-9) {
      step = factor * power;
      break;
    }
  }
  const double top = axis.low_ + range;
  axis.low_ = step * std::floor(axis.low_ / step);
  const auto steps = static_cast<int>(std::ceil((top - axis.low_) / step - 1e-9));
  for (int i = 0; i <= steps; ++i) axis.ticks_.push_back(axis.low_ + step * i);
  axis.high_ = axis.ticks_.back();
  return axis;
}

Axis Axis::logarithmic(double low, double high) {
  Axis axis;
  axis.logarithmic_ = true;
  const int first = static_cast<int>(std::floor(std::log10(low) + 1e-9));
  const int last = std::max(first + 1, static_cast<int>(std::ceil(std::log10(high) - 1e-9)));
  const int step = std::max(1, (last - first + 4) / 5);
  for (int power = first; power <= last; power += step) axis.ticks_.push_back(std::pow(10.0, power));
  axis.low_ = std::pow(10.0, first);
  axis.high_ = std::pow(10.0, last);
  return axis;
}

double Axis::place(double value) const {
  const double at =
      logarithmic_ ? (std::log10(std::max(value, low_)) - std::log10(low_)) / (std::log10(high_) - std::log10(low_))
                   : (value - low_) / (high_ - low_);
  return std::clamp(at, 0.0, 1.0);
}

std::string legend(const std::vector<LegendEntry>& entries) {
  std::string items;
  for (const LegendEntry& entry : entries)
    items += fmt::format("<li><span class=\"key {}\"></span>{}</li>", entry.css, escaped(entry.text));
  return fmt::format("<ul class=\"legend\">{}</ul>\n", items);
}

namespace svg {

std::string open(double width, double height, std::string_view title) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" role=\"img\" class=\"chart\" "
      "aria-label=\"{2}\">\n",
      width, height, escaped(title));
}

std::string text(double x, double y, std::string_view anchor, std::string_view css, std::string_view content) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" class=\"{}\">{}</text>", x, y, anchor, css,
                     escaped(content));
}

std::string line(double x1, double y1, double x2, double y2, std::string_view css) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"{}\"/>", x1, y1, x2, y2,
                     css);
}

std::string marker(Marker kind, double x, double y, std::string_view css, std::string_view title) {
  const std::string said = title.empty() ? "" : "<title>" + escaped(title) + "</title>";
  switch (kind) {
    case Marker::NONE:
      return "";
    case Marker::CIRCLE:
      return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.6\" class=\"mark {}\">{}</circle>", x, y, css,
                         said);
    case Marker::SQUARE:
      return fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"5.6\" height=\"5.6\" class=\"mark {}\">{}</rect>",
                         x - 2.8, y - 2.8, css, said);
    case Marker::DIAMOND:
      return fmt::format("<path d=\"M{:.1f} {:.1f}l3.4 3.4l-3.4 3.4l-3.4 -3.4z\" class=\"mark {}\">{}</path>", x,
                         y - 3.4, css, said);
    case Marker::CROSS:
      return fmt::format("<path d=\"M{:.1f} {:.1f}l6 6m0 -6l-6 6\" class=\"cross {}\">{}</path>", x - 3, y - 3, css,
                         said);
  }
  return "";
}

std::string tick_text(double value) {
  if (value != 0.0 && (std::abs(value) < 1e-3 || std::abs(value) >= 1e5)) {
    std::string text = fmt::format("{:.0e}", value);
    const std::size_t e = text.find('e');
    int power = std::stoi(text.substr(e + 1));
    return fmt::format("{}e{}", text.substr(0, e), power);
  }
  return fmt::format("{:g}", value);
}

} // namespace svg

namespace {

// A chart that three of stand side by side on a desk's screen, one below the other on a phone's.
constexpr double kWidth = 360.0;
constexpr double kHeight = 240.0;
constexpr double kLeft = 44.0;
constexpr double kRight = 8.0;
constexpr double kTop = 24.0;
constexpr double kBottom = 36.0;
constexpr std::size_t kMostNames = 9;
constexpr std::size_t kCharacters = 54; // of the names together

/// The smallest and largest finite value of points and limits; logarithmic charts pass over what is not positive.
std::pair<double, double> range_of(const LineChart& chart) {
  double low = 1e300;
  double high = -1e300;
  const auto take = [&](double value) {
    if (!std::isfinite(value) || (chart.logarithmic && value <= 0.0)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  };
  for (const Series& series : chart.series) {
    for (const Series::Point& point : series.points) take(point.y);
  }
  for (const LineChart::Limit& limit : chart.limits) take(limit.value);
  if (low > high) return {chart.logarithmic ? 1e-3 : 0.0, 1.0};
  return {low, high};
}

class LinePicture {
 public:
  explicit LinePicture(const LineChart& chart) : chart_(chart) {
    const auto [low, high] = range_of(chart);
    axis_ = chart.logarithmic ? Axis::logarithmic(low, high) : Axis::linear(low, high);
  }

  std::string draw() const {
    std::string out = svg::open(kWidth, kHeight, chart_.title);
    out += svg::text(0, 12, "start", "axis-title", chart_.title);
    for (const double tick : axis_.ticks()) {
      out += svg::line(kLeft, y_of(tick), kWidth - kRight, y_of(tick), "grid");
      out += svg::text(kLeft - 5, y_of(tick) + 3.5, "end", "tick", svg::tick_text(tick)) + "\n";
    }
    out += names();
    for (std::size_t i = 0; i < chart_.limits.size(); ++i) {
      // The second limit's text below its line: the two may be close.
      const LineChart::Limit& limit = chart_.limits[i];
      const double y = y_of(limit.value);
      out += svg::line(kLeft, y, kWidth - kRight, y, "limit");
      out += svg::text(kWidth - kRight, i == 0 ? y - 3 : y + 10, "end", "limit-text", limit.text) + "\n";
    }
    for (const Series& series : chart_.series) out += draw_series(series);
    return out + "</svg>\n";
  }

 private:
  double x_of(double index) const {
    const double room = kWidth - kLeft - kRight - 16;
    const auto last = static_cast<double>(std::max<std::size_t>(chart_.names.size(), 2) - 1);
    return kLeft + 8 + room * index / last;
  }
  double y_of(double value) const { return kTop + (kHeight - kTop - kBottom) * (1.0 - axis_.place(value)); }

  std::string names() const {
    const std::size_t count = chart_.names.size();
    std::size_t longest = 1;
    for (const std::string& name : chart_.names) longest = std::max(longest, name.size());
    // "logits" alone among numbers stands at the end, where there is room for it.
    if (count > 2 && chart_.names.back() == "logits" && chart_.names[count - 2].size() < 3) longest = 3;
    const std::size_t most = std::clamp<std::size_t>(kCharacters / (longest + 2), 2, kMostNames);
    const std::size_t step = std::max<std::size_t>(1, (count + most - 1) / most);
    std::string out;
    for (std::size_t i = 0; i < count; i += step) {
      // The last name would run into the one before it.
      const bool last_shown = i + step >= count;
      const std::size_t at = last_shown ? count - 1 : i;
      out += svg::text(x_of(static_cast<double>(at)), kHeight - kBottom + 14,
                       at + 1 == count && count > 1 ? "end" : "middle", "tick", chart_.names[at]);
    }
    return out + svg::text((kLeft + kWidth - kRight) / 2, kHeight - 5, "middle", "axis-title", chart_.x_title) + "\n";
  }

  std::string draw_series(const Series& series) const {
    std::string path;
    std::string marks;
    bool broken = true;
    for (const Series::Point& point : series.points) {
      const double x = x_of(point.x);
      if (!std::isfinite(point.y)) {
        marks += svg::marker(Marker::CROSS, x, kTop, series.css, point.title);
        broken = true;
        continue;
      }
      path += fmt::format("{}{:.1f} {:.1f}", broken ? "M" : "L", x, y_of(point.y));
      broken = false;
      marks += svg::marker(series.marker, x, y_of(point.y), series.css, point.title);
    }
    if (!series.line) path.clear();
    return (path.empty() ? "" : fmt::format("<path d=\"{}\" class=\"curve {}\"/>", path, series.css)) + marks + "\n";
  }

  const LineChart& chart_;
  Axis axis_;
};

} // namespace

std::string to_svg(const LineChart& chart) {
  return LinePicture(chart).draw();
}

} // namespace tessera::bringup::report_page
