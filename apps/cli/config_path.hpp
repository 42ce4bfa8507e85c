#pragma once

#include <string>

#include "tessera/checkpoint/checkpoint.hpp"

namespace tessera::cli {

/// A path or Hugging Face name as it is; the bare name of a configuration in `configs/` as that file.
std::string find_config(const std::string& name);

/// The name in `configs/` of the language model whose dimensions a checkpoint has; empty: it is none of them.
std::string known_config(const checkpoint::Checkpoint& checkpoint);

} // namespace tessera::cli
