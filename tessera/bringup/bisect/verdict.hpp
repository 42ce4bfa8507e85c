#pragma once

#include "tessera/bringup/bisect/errors.hpp"

namespace tessera::bringup::bisect {

/// Names what accuracy is lost by, from all that was measured.
Finding judge(const Session& session, const DeviceRun& run, const Result& result);

/// Modules that formats do not explain, the innermost of each layer alone: wrong in full precision, or, where that
/// could not be opened, far off. `decode_alone`: those whose prefill is right.
std::vector<const ModuleErrors*> wrong_modules(const Session& session, const Result& result, bool decode_alone);

/// The first state of decode that stands out from prefill's: 0 the embedding, i the output of layer i - 1, layers + 1
/// the logits; -1: none.
std::int64_t first_wrong_state(const Result& result);

} // namespace tessera::bringup::bisect
