#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tessera/bringup/reference.hpp"
#include "tessera/checkpoint/checkpoint.hpp"

namespace tessera::bringup {

/// FNV-1a, 64 bits, as 16 hexadecimal digits: names for cached results. Not for protection against forgery.
std::string hash_of(std::string_view text);

/// "1,2,3": ids as a part of a key.
std::string ids_text(const Ids& ids);

/// Names a checkpoint's files as they lie here: its config, the names, types and shapes of its tensors, and size and
/// time of modification of its weight files. For what is kept of it: reading all the weights would cost more than the
/// stages that it saves.
std::string checkpoint_identity(const checkpoint::Checkpoint& checkpoint);

/// Tells a checkpoint from another, wherever and whenever its files were written: its config, the names, types and
/// shapes of its tensors, and a few values of each.
std::string checkpoint_content(const checkpoint::Checkpoint& checkpoint);

} // namespace tessera::bringup
