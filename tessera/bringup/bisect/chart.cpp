#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tessera/bringup/bisect/report.hpp"
#include "tessera/bringup/report_page/html.hpp"

namespace tessera::bringup::bisect {
namespace {

using report_page::escaped;

constexpr double kLeft = 210.0;
constexpr double kPlot = 460.0;
constexpr double kRow = 15.0;
constexpr double kTop = 64.0;

// Errors differ by orders of magnitude: the axis is logarithmic, over decades that hold them all.
struct Axis {
  int first = -4; // 10^first
  int last = 0;
  double x(double error) const {
    const double place = (std::log10(std::max(error, 1e-30)) - first) / (last - first);
    return kLeft + kPlot * std::clamp(place, 0.0, 1.0);
  }
};

double error_of(const ModuleErrors::Figures& figures) {
  return figures && std::isfinite(figures->relative_frobenius_error) ? figures->relative_frobenius_error : 0.0;
}

Axis axis_of(const Result& result) {
  double least = 1.0;
  double most = 1e-6;
  for (const ModuleErrors& module : result.modules) {
    for (const double error : {error_of(module.local_prefill), error_of(module.accumulated)}) {
      if (error <= 0.0) continue;
      least = std::min(least, error);
      most = std::max(most, error);
    }
  }
  Axis axis;
  axis.first = std::max(-8, static_cast<int>(std::floor(std::log10(std::min(least, most)))));
  axis.last = std::max(axis.first + 1, static_cast<int>(std::ceil(std::log10(most))));
  return axis;
}

std::string legend() {
  return fmt::format(
      R"(<circle class="local" cx="{0}" cy="42" r="3.5"/><text x="{1}" y="46">local: on the reference's inputs</text>)"
      R"(<circle class="own" cx="{2}" cy="42" r="5.5"/><text x="{3}" y="46">accumulated: on the device's own</text>)"
      "\n",
      kLeft, kLeft + 10, kLeft + 220, kLeft + 230);
}

constexpr const char* kStyle = R"(<style>
text { font: 11px sans-serif; fill: #222; } .title { font-size: 13px; } .name { text-anchor: end; }
.grid { stroke: #ddd; } .between { stroke: #bbb; stroke-width: 2; } .local { fill: #1668b8; } .own { fill: #d1570c; }
.paper { fill: #fff; } .guilty { fill: #fdecc8; } .tick { text-anchor: middle; }
@media (prefers-color-scheme: dark) { text { fill: #ddd; } .grid { stroke: #444; } .between { stroke: #666; }
.paper { fill: #1b1b1b; } .guilty { fill: #4a3c14; } .local { fill: #6cb2f2; } .own { fill: #f3914f; } }
</style>
)";

} // namespace

std::string to_svg(const Result& result) {
  const Axis axis = axis_of(result);
  const double bottom = kTop + kRow * static_cast<double>(result.modules.size());
  const double width = kLeft + kPlot + 30.0;
  std::string svg = fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" role="img" aria-label="Errors of the modules">)"
      "\n{2}"
      R"(<rect class="paper" width="{0}" height="{1}"/>)"
      "\n"
      R"(<text class="title" x="{3}" y="22">Relative error of each module: {4}, {5} numerics</text>)"
      "\n",
      width, bottom + 30.0, kStyle, 12, escaped(result.precision), escaped(result.numerics));
  svg += legend();
  for (int decade = axis.first; decade <= axis.last; ++decade) {
    const double error = std::pow(10.0, decade);
    const double x = axis.x(error);
    svg += fmt::format(R"(<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>)"
                       R"(<text class="tick" x="{0:.1f}" y="{3}">{4:g} %</text>)"
                       "\n",
                       x, kTop - 8.0, bottom, bottom + 16.0, 100.0 * error);
  }
  double y = kTop;
  for (const ModuleErrors& module : result.modules) {
    if (module.module == result.finding.module) {
      svg += fmt::format(R"(<rect class="guilty" x="0" y="{:.1f}" width="{}" height="{}"/>)"
                         "\n",
                         y - 7.5, width, kRow);
    }
    svg +=
        fmt::format(R"(<text class="name" x="{}" y="{:.1f}">{}</text>)", kLeft - 10.0, y + 4.0, escaped(module.module));
    const double local = error_of(module.local_prefill);
    const double own = error_of(module.accumulated);
    if (local > 0.0 && own > 0.0) {
      svg += fmt::format(R"(<line class="between" x1="{0:.1f}" x2="{1:.1f}" y1="{2:.1f}" y2="{2:.1f}"/>)",
                         axis.x(local), axis.x(own), y);
    }
    // The larger circle first: where both errors are equal the smaller one stays visible on it.
    if (own > 0.0) svg += fmt::format(R"(<circle class="own" cx="{:.1f}" cy="{:.1f}" r="5.5"/>)", axis.x(own), y);
    if (local > 0.0) svg += fmt::format(R"(<circle class="local" cx="{:.1f}" cy="{:.1f}" r="3.5"/>)", axis.x(local), y);
    svg += "\n";
    y += kRow;
  }
  return svg + "</svg>\n";
}

} // namespace tessera::bringup::bisect
