#pragma once

#include <string>
#include <string_view>

#include "tessera/bringup/report_page/svg.hpp"

/// What pictures are put together from. Coordinates are of the picture; contents are plain text.
namespace tessera::bringup::report_page::svg {

std::string open(double width, double height, std::string_view title);
/// `anchor`: start, middle or end.
std::string text(double x, double y, std::string_view anchor, std::string_view css, std::string_view content);
std::string line(double x1, double y1, double x2, double y2, std::string_view css);
std::string marker(Marker kind, double x, double y, std::string_view css, std::string_view title);
/// "0.25", "1e-5"
std::string tick_text(double value);

} // namespace tessera::bringup::report_page::svg
