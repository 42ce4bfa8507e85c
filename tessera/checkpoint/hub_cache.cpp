#include "tessera/checkpoint/hub_cache.hpp"

#include <algorithm>
#include <cstdlib>
#include <system_error>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/checkpoint/json_text.hpp"

namespace tessera::checkpoint {
namespace {

namespace fs = std::filesystem;
using base::IoError;
using base::require;

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

/// `org/name`, or `name` alone as the oldest models have it, in the characters that the Hub allows.
bool is_hub_name(const std::string& name) {
  const auto allowed = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_' ||
           c == '.' || c == '/';
  };
  if (name.empty() || !std::all_of(name.begin(), name.end(), allowed)) return false;
  const auto slash = name.find('/');
  return name.front() != '.' && name.front() != '/' && name.back() != '/' && slash == name.rfind('/') &&
         name.find("..") == std::string::npos;
}

std::vector<fs::path> cache_folders() {
  std::vector<fs::path> folders;
  const auto add = [&](const char* variable, const char* below) {
    const char* value = std::getenv(variable);
    if (value != nullptr && *value != '\0') folders.push_back(fs::path(value) / below);
  };
  add("HF_HUB_CACHE", "");
  add("HF_HOME", "hub");
  add("HOME", ".cache/huggingface/hub");
  return folders;
}

/// "meta-llama/Llama-3.2-1B" → "models--meta-llama--Llama-3.2-1B"
std::string cache_entry(std::string name) {
  const auto slash = name.find('/');
  if (slash != std::string::npos) name.replace(slash, 1, "--");
  return "models--" + name;
}

std::vector<std::string> revisions(const fs::path& snapshots) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(snapshots, error), end; !error && entry != end; entry.increment(error)) {
    if (is_folder(entry->path())) names.push_back(entry->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// The commit that `refs/main` names; empty when there is no such file or it does not name a snapshot.
std::string main_revision(const fs::path& model) {
  std::error_code error;
  const fs::path ref = model / "refs" / "main";
  if (!fs::exists(ref, error)) return {};
  std::string revision = base::read_file(ref, 4096);
  revision.erase(std::find_if(revision.begin(), revision.end(), [](char c) { return c == '\n' || c == '\r'; }),
                 revision.end());
  const bool plain = !revision.empty() && std::all_of(revision.begin(), revision.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
  });
  return plain && is_folder(model / "snapshots" / revision) ? revision : std::string();
}

fs::path snapshot_folder(const fs::path& model, const std::string& name) {
  const std::string main = main_revision(model);
  if (!main.empty()) return model / "snapshots" / main;
  const std::vector<std::string> found = revisions(model / "snapshots");
  require<IoError>(!found.empty(),
                   "[checkpoint] {} must hold a snapshot of {}; it holds none; run: huggingface-cli "
                   "download {}",
                   model.string(), name, name);
  require<IoError>(found.size() == 1,
                   "[checkpoint] {} must say in refs/main which of its {} snapshots is meant; it does "
                   "not; give the path of one, such as {}",
                   model.string(), found.size(), (model / "snapshots" / found.front()).string());
  return model / "snapshots" / found.front();
}

} // namespace

fs::path find_checkpoint_folder(const std::string& name) {
  std::error_code error;
  require<IoError>(!name.empty(), "[checkpoint] a folder or a Hugging Face name is required; received an empty text");
  if (is_folder(name)) return name;
  if (fs::exists(name, error)) {
    require<base::Unsupported>(!name.ends_with(".gguf"),
                               "[checkpoint] safetensors are required; {} is a GGUF file; convert the original "
                               "checkpoint to safetensors",
                               name);
    throw IoError(
        fmt::format("[checkpoint] a folder with config.json and model.safetensors is required; {} is a file; "
                    "give its folder",
                    name));
  }
  require<IoError>(is_hub_name(name),
                   "[checkpoint] a folder or a Hugging Face name (org/name) is required; {} is "
                   "neither; check the path",
                   printable(name, 200));
  std::string searched;
  for (const fs::path& cache : cache_folders()) {
    const fs::path model = cache / cache_entry(name);
    if (is_folder(model)) return snapshot_folder(model, name);
    searched += (searched.empty() ? "" : ", ") + cache.string();
  }
  throw IoError(
      fmt::format("[checkpoint] {} must be a folder or a model in the Hugging Face cache; it is neither "
                  "(searched: {}); check the path or run: huggingface-cli download {}",
                  name, searched, name));
}

} // namespace tessera::checkpoint
