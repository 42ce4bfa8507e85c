#pragma once

#include <string_view>

namespace tessera::bringup::report_page {

/// page.css: the style of the page but for its pictures, whose style is `chart_style`.
std::string_view page_style();

} // namespace tessera::bringup::report_page
