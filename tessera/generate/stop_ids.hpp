#pragma once

#include <cstdint>
#include <vector>

#include "tessera/checkpoint/checkpoint.hpp"

namespace tessera::generate {

/// The ids that end a generation: `eos_token_id`, one id or a list, of generation_config.json, or of config.json where
/// the former has none. Empty when neither has. Throws InvalidArgument for a value that is no id.
std::vector<std::int32_t> stop_ids(const checkpoint::Checkpoint& checkpoint);

} // namespace tessera::generate
