#pragma once

#include <string>
#include <vector>

namespace tessera::bench {

/// Predicted against published times of a group of rows, ns.
struct Series {
  std::string name;
  std::string colour;                            ///< of SVG
  std::vector<std::pair<double, double>> points; ///< published, predicted
};

/// A square on logarithmic axes with the diagonal, and lines a quarter above and below.
std::string scatter_svg(const std::vector<Series>& series);

} // namespace tessera::bench
