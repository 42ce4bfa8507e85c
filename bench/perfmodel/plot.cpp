#include "bench/perfmodel/plot.hpp"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

namespace tessera::bench {
namespace {

constexpr double kLeast = 2.4; // log10 ns: 250 ns
constexpr double kMost = 11;   // 100 s
constexpr double kSide = 560;  // pixels
constexpr double kLeft = 80;
constexpr double kTop = 30;

double along(double log10_ns) {
  return (log10_ns - kLeast) / (kMost - kLeast) * kSide;
}
double x_of(double ns) {
  return kLeft + along(std::log10(ns));
}
double y_of(double ns) {
  return kTop + kSide - along(std::log10(ns));
}

const char* unit_of(int decade) {
  constexpr const char* kNames[] = {"1 us", "10 us", "100 us", "1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s"};
  return kNames[decade - 3];
}

void add_line(std::string& svg, double factor, const char* style) {
  const double least = std::pow(10, kLeast + 0.15);
  const double most = std::pow(10, kMost - 0.15);
  fmt::format_to(std::back_inserter(svg), "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n",
                 x_of(least), y_of(least * factor), x_of(most), y_of(most * factor), style);
}

} // namespace

std::string scatter_svg(const std::vector<Series>& series) {
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
      "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
      "<rect x=\"{2}\" y=\"{3}\" width=\"{4}\" height=\"{4}\" fill=\"none\" stroke=\"#888\"/>\n",
      kLeft + kSide + 30, kTop + kSide + 60, kLeft, kTop, kSide);
  const auto out = std::back_inserter(svg);
  for (int decade = 3; decade <= 11; ++decade) {
    const double at = std::pow(10, decade);
    fmt::format_to(out, "<line x1=\"{0:.1f}\" y1=\"{1}\" x2=\"{0:.1f}\" y2=\"{2}\" stroke=\"#eee\"/>\n", x_of(at), kTop,
                   kTop + kSide);
    fmt::format_to(out, "<line x1=\"{1}\" y1=\"{0:.1f}\" x2=\"{2}\" y2=\"{0:.1f}\" stroke=\"#eee\"/>\n", y_of(at),
                   kLeft, kLeft + kSide);
    fmt::format_to(out, "<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", x_of(at), kTop + kSide + 18,
                   unit_of(decade));
    fmt::format_to(out, "<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", kLeft - 6, y_of(at) + 4,
                   unit_of(decade));
  }
  add_line(svg, 1, "stroke=\"#444\"");
  add_line(svg, 1.25, "stroke=\"#bbb\" stroke-dasharray=\"4 3\"");
  add_line(svg, 0.75, "stroke=\"#bbb\" stroke-dasharray=\"4 3\"");
  double legend = kTop + 20;
  for (const Series& group : series) {
    for (const auto& [published, predicted] : group.points)
      fmt::format_to(out, "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.6\" fill=\"{}\" fill-opacity=\"0.55\"/>\n",
                     x_of(published), y_of(predicted), group.colour);
    fmt::format_to(out,
                   "<circle cx=\"{}\" cy=\"{:.1f}\" r=\"4\" fill=\"{}\"/>\n<text x=\"{}\" y=\"{:.1f}\">{}</text>\n",
                   kLeft + 16, legend - 4, group.colour, kLeft + 26, legend, group.name);
    legend += 18;
  }
  fmt::format_to(out, "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">published</text>\n", kLeft + kSide / 2,
                 kTop + kSide + 42);
  fmt::format_to(out,
                 "<text x=\"18\" y=\"{0}\" text-anchor=\"middle\" transform=\"rotate(-90 18 {0})\">predicted</text>\n",
                 kTop + kSide / 2);
  return svg + "</svg>\n";
}

} // namespace tessera::bench
