#pragma once

#include <string>
#include <string_view>

#include "tessera/bringup/memory_map.hpp"
#include "tessera/bringup/report_page/svg.hpp"

namespace tessera::bringup::report_page {

/// One memory of a chip over the ops, by what it is used for.
AreaChart memory_chart(const MemoryMap& map, const MemoryHistory& history, std::string_view memory);
/// The kinds that either memory ever holds.
std::vector<LegendEntry> memory_legend(const MemoryMap& map);

} // namespace tessera::bringup::report_page
