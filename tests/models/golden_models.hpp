#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/checkpoint/safetensors.hpp"
#include "tessera/models/classifier.hpp"
#include "tessera/models/family.hpp"

namespace tessera::test {

/// Where the golden data lies: $TESSERA_GOLDEN, or the folder `golden` of the shared data beside the source tree.
inline std::filesystem::path golden_folder() {
  const char* folder = std::getenv("TESSERA_GOLDEN");
  return folder != nullptr ? std::filesystem::path(folder)
                           : std::filesystem::path(TESSERA_SOURCE_DIR) / ".." / "shared" / "golden";
}

/// Whether a folder's model is a classifier of texts.
inline bool is_text_classifier(const std::filesystem::path& folder) {
  const auto checkpoint = checkpoint::Checkpoint::open_config(folder.string());
  const models::ClassifierFamily* const family = models::classifier_family_of(checkpoint);
  return family != nullptr && family->input == nn::ClassifierInput::TEXTS;
}

/// Folders of the golden data, and of the part of it that the project carries (tests/golden, other names), that hold a
/// model of token ids with golden outputs: config.json, weights and a golden.safetensors with input_ids and `tensor`.
inline std::vector<std::filesystem::path> golden_models_of_ids(const std::string& tensor, bool classifiers) {
  const auto carried = std::filesystem::path(TESSERA_SOURCE_DIR) / "tests" / "golden";
  const auto folder = std::filesystem::is_directory(golden_folder()) ? golden_folder() : carried;
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const auto& path = entry.path();
    if (!exists(path / "config.json") || !exists(path / "golden.safetensors")) continue;
    const auto golden = checkpoint::SafeTensors::open(path / "golden.safetensors");
    if (golden.contains("input_ids") && golden.contains(tensor) && is_text_classifier(path) == classifiers)
      found.push_back(path);
  }
  std::sort(found.begin(), found.end());
  return found;
}
inline std::vector<std::filesystem::path> golden_language_models(const std::string& tensor) {
  return golden_models_of_ids(tensor, false);
}
inline std::vector<std::filesystem::path> golden_text_classifiers() {
  return golden_models_of_ids("logits", true);
}

/// True when the model's family is built; a golden of another family is skipped and counted.
inline bool family_is_built(const std::filesystem::path& folder) {
  const auto config = checkpoint::Checkpoint::open_config(folder.string());
  const auto architectures = config.config().value("architectures", std::vector<std::string>{});
  for (const models::Family& family : models::families()) {
    if (!architectures.empty() && architectures.front() == family.architecture) return true;
  }
  return false;
}

/// Prints a folder as its name in test names.
inline std::string golden_name(const std::filesystem::path& folder) {
  std::string name = folder.filename().string();
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

} // namespace tessera::test
