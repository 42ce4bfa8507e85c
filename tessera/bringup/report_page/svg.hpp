#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::bringup::report_page {

/// Values laid out on a line from 0 to 1.
class Axis {
 public:
  /// From zero or below to a round value above `high`. REQUIRES: low <= high, both finite.
  static Axis linear(double low, double high);
  /// Whole powers of ten around both. REQUIRES: 0 < low <= high, both finite.
  static Axis logarithmic(double low, double high);

  /// 0..1; values beyond the ends lie at the ends.
  double place(double value) const;
  const std::vector<double>& ticks() const { return ticks_; }
  double low() const { return low_; }
  double high() const { return high_; }
  bool is_logarithmic() const { return logarithmic_; }

 private:
  double low_ = 0.0;
  double high_ = 1.0;
  bool logarithmic_ = false;
  std::vector<double> ticks_;
};

/// One entry of a legend: the mark's class and what it stands for.
struct LegendEntry {
  std::string css;
  std::string text;
};
std::string legend(const std::vector<LegendEntry>& entries);

enum class Marker { NONE, CIRCLE, SQUARE, DIAMOND, CROSS };

/// Points joined by a line, or alone. A value that is not finite is a cross at the top.
struct Series {
  struct Point {
    double x = 0.0; ///< index into the chart's names
    double y = 0.0;
    std::string title; ///< said when pointed at
  };
  std::string css;
  bool line = true;
  Marker marker = Marker::CIRCLE;
  std::vector<Point> points{};
};

/// Values over a row of names, with limits as dashed lines.
struct LineChart {
  struct Limit {
    std::string text;
    double value = 0.0;
  };
  std::string title; ///< of the value, with its unit: the heading of the vertical axis
  std::string x_title;
  std::vector<std::string> names;
  bool logarithmic = true;
  std::vector<Series> series{};
  std::vector<Limit> limits{};
};
std::string to_svg(const LineChart& chart);

/// Amounts by kind on top of each other, over steps.
struct AreaChart {
  struct Kind {
    std::string css;
    std::string name;
    std::vector<double> values; ///< [steps]
  };
  struct Mark {
    double at = 0.0;
    std::string text;
  };
  std::string title;  ///< for those who cannot see it
  std::string unit;   ///< after the ticks' numbers
  double scale = 1.0; ///< a tick's number is the amount times this
  std::vector<Kind> kinds{};
  std::vector<Mark> phases{};     ///< where each begins
  std::vector<Mark> highlights{}; ///< points of the top line
};
std::string to_svg(const AreaChart& chart);
/// The picture without the <svg> around it, `top` pixels below; for pictures of several. `height` is what it takes.
std::string area_panel(const AreaChart& chart, double top);
inline constexpr double kAreaPanelHeight = 236.0;
inline constexpr double kAreaPanelWidth = 1040.0;

/// What took a while, in rows.
struct LaneChart {
  struct Block {
    double begin = 0.0;
    double end = 0.0;
    std::string css;
    std::string title;
  };
  struct Lane {
    std::string name;
    std::vector<Block> blocks;
  };
  std::string title;
  std::string unit; ///< of the blocks' times
  std::vector<Lane> lanes{};
};
std::string to_svg(const LaneChart& chart);

/// A thin bar for each value, over positions; the marked ones have a sign below.
struct BarStrip {
  std::string title;
  std::string unit;
  std::vector<double> values{}; ///< NaN: no bar
  std::vector<bool> marked{};
  double most = 0.0; ///< the height of the picture; 0: the largest value
};
std::string to_svg(const BarStrip& strip);

/// The style of pictures, light and dark, for one that stands by itself.
std::string_view chart_style();

} // namespace tessera::bringup::report_page
