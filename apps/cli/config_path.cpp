#include "apps/cli/config_path.hpp"

#include <filesystem>

namespace tessera::cli {

std::string find_config(const std::string& name) {
  std::error_code error;
  const std::filesystem::path known = std::filesystem::path(TESSERA_CONFIGS) / (name + ".json");
  const bool bare = name.find('/') == std::string::npos && !std::filesystem::exists(name, error);
  return bare && std::filesystem::is_regular_file(known, error) ? known.string() : name;
}

} // namespace tessera::cli
