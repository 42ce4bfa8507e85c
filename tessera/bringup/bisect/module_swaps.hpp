#pragma once

#include <vector>

#include "tessera/bringup/bisect/errors.hpp"

namespace tessera::bringup::bisect {

/// Runs the model on the texts as a chain, in prefill, with one module at a time taken from the reference: whole
/// layers, embedding, final norm and LM head first, then the modules of the layers that gain most. Of many layers only
/// those with the largest local errors are tried.
std::vector<Swap> swap_modules(Session& session, const DeviceRun& run, const std::vector<ModuleErrors>& modules);

} // namespace tessera::bringup::bisect
