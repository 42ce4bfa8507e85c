#pragma once

#include <vector>

#include "tessera/bringup/bisect/session.hpp"

namespace tessera::bringup::bisect {

/// Looks into the modules with the largest local errors, whole layers left out: which of their ops has the largest
/// error of its own.
void find_worst_ops(Session& session, std::vector<ModuleErrors>& modules);

} // namespace tessera::bringup::bisect
