#pragma once

#include <string>

#include "tessera/checkpoint/checkpoint.hpp"

namespace tessera::models {

/// One line for a checkpoint of no known family: the known architectures, the nearest of them (by what its weights and
/// configuration would need to be), and what differs from it: configuration keys, tensor names.
std::string describe_unknown_architecture(const std::string& architecture, const checkpoint::Checkpoint& checkpoint);

} // namespace tessera::models
