#include "apps/cli/config_path.hpp"

#include <filesystem>
#include <set>
#include <tuple>

#include "tessera/base/error.hpp"
#include "tessera/models/load.hpp"

namespace tessera::cli {

std::string find_config(const std::string& name) {
  std::error_code error;
  const std::filesystem::path known = std::filesystem::path(TESSERA_CONFIGS) / (name + ".json");
  const bool bare = name.find('/') == std::string::npos && !std::filesystem::exists(name, error);
  return bare && std::filesystem::is_regular_file(known, error) ? known.string() : name;
}

std::string known_config(const checkpoint::Checkpoint& checkpoint) {
  const auto dimensions = [](const nn::DecoderConfig& config) {
    return std::tuple(config.family, config.vocab_size, config.hidden_size, config.intermediate_size, config.layers,
                      config.heads, config.kv_heads, config.head_dim);
  };
  const auto wanted = dimensions(models::configure(checkpoint));
  std::error_code error;
  std::set<std::filesystem::path> files; // in order: the first of several names
  for (const auto& entry : std::filesystem::directory_iterator(TESSERA_CONFIGS, error)) {
    if (entry.path().extension() == ".json") files.insert(entry.path());
  }
  for (const auto& file : files) {
    try {
      const auto known = checkpoint::Checkpoint::open_config(file.string());
      if (dimensions(models::configure(known)) == wanted) return file.stem().string();
    } catch (const base::Unsupported&) {
      // not a language model, or of a family that is not built
    }
  }
  return {};
}

} // namespace tessera::cli
