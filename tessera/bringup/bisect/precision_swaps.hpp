#pragma once

#include <vector>

#include "tessera/bringup/bisect/session.hpp"

namespace tessera::bringup::bisect {

/// Teacher forcing with one tensor group at a time in full precision: every group that rounds something, then halves
/// of the layers of the group that gains most, down to single layers; last the narrowest format that keeps most of the
/// gain. `before`: the device's own. Adds to `notes` what could not be opened.
std::vector<Swap> swap_precision(Session& session, const Agreement& before, std::vector<std::string>& notes);

} // namespace tessera::bringup::bisect
