#pragma once

#include <string>
#include <vector>

#include "tessera/profile/report.hpp"

namespace tessera::profile {

/// What the figures of a report suggest, a sentence or two each, with the figure that says so. Empty: nothing stands
/// out.
std::vector<std::string> advise(const Report& report);

} // namespace tessera::profile
