#include "apps/cli/tokenizer_path.hpp"

#include <filesystem>

#include "tessera/checkpoint/hub_cache.hpp"

namespace tessera::cli {

tokenizer::Tokenizer load_tokenizer(const std::string& path_or_hub_name) {
  std::error_code error;
  const std::filesystem::path path = path_or_hub_name;
  if (path.extension() == ".json" || std::filesystem::exists(path, error)) return tokenizer::Tokenizer::load(path);
  return tokenizer::Tokenizer::load(checkpoint::find_checkpoint_folder(path_or_hub_name));
}

} // namespace tessera::cli
