#pragma once

#include <string>

namespace tessera::cli {

/// A path or Hugging Face name as it is; the bare name of a configuration in `configs/` as that file.
std::string find_config(const std::string& name);

} // namespace tessera::cli
