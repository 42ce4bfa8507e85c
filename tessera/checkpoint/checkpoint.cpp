#include "tessera/checkpoint/checkpoint.hpp"

#include <algorithm>
#include <map>
#include <system_error>
#include <utility>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/checkpoint/config_reader.hpp"
#include "tessera/checkpoint/hub_cache.hpp"
#include "tessera/checkpoint/json_text.hpp"

namespace tessera::checkpoint {
namespace {

namespace fs = std::filesystem;
using base::IoError;
using base::require;
using base::Unsupported;
using nlohmann::json;

// Far above what published files have: the largest indices list some 100,000 tensors in 10 MB.
constexpr std::size_t kMaxConfigBytes = std::size_t{16} << 20;
constexpr std::size_t kMaxIndexBytes = std::size_t{256} << 20;

constexpr const char* kWeightsFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

bool path_exists(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

json read_json(const fs::path& path, std::size_t max_bytes) {
  return parse_json(base::read_file(path, max_bytes), path.string());
}

/// Whether an index may name this file: a file of its own folder.
bool is_plain_file_name(const std::string& name) {
  const bool clean = std::none_of(name.begin(), name.end(), [](char c) {
    return c == '/' || c == '\\' || static_cast<unsigned char>(c) < ' ' || c == '\x7f';
  });
  return clean && !name.empty() && name != "." && name != "..";
}

/// Tensors by shard, from the index's `weight_map`: tensor name → file name.
std::map<std::string, std::vector<std::string>> read_weight_map(const fs::path& path) {
  const json index = read_json(path, kMaxIndexBytes);
  const auto weight_map = index.is_object() ? index.find("weight_map") : index.end();
  require<IoError>(index.is_object() && weight_map != index.end() && weight_map->is_object() && !weight_map->empty(),
                   "[checkpoint] {} must have a weight_map that names a file for each tensor; it has none; fetch it "
                   "again",
                   path.string());
  std::map<std::string, std::vector<std::string>> tensors_by_shard;
  for (const auto& [tensor, file] : weight_map->items()) {
    require<IoError>(file.is_string() && is_plain_file_name(file.get_ref<const std::string&>()),
                     "[checkpoint] {} must name files of its own folder; tensor {} is said to lie in {}; correct it",
                     path.string(), printable(tensor), printable_json(file));
    tensors_by_shard[file.get_ref<const std::string&>()].push_back(tensor);
  }
  return tensors_by_shard;
}

void require_shards(const fs::path& folder, const std::map<std::string, std::vector<std::string>>& tensors_by_shard) {
  constexpr std::size_t kNamed = 8;
  std::size_t absent = 0;
  std::string names;
  for (const auto& [file, tensors] : tensors_by_shard) {
    if (path_exists(folder / file)) continue;
    if (++absent <= kNamed) names += (names.empty() ? "" : ", ") + printable(file);
  }
  require<IoError>(absent == 0, "[checkpoint] all {} files of {} must be in {}; {} are absent: {}{}; fetch them",
                   tensors_by_shard.size(), kIndexFile, folder.string(), absent, names, absent > kNamed ? ", ..." : "");
}

std::vector<TensorView> open_shards(const fs::path& folder, std::vector<fs::path>& files) {
  const auto tensors_by_shard = read_weight_map(folder / kIndexFile);
  require_shards(folder, tensors_by_shard);
  std::vector<TensorView> tensors;
  for (const auto& [file, listed] : tensors_by_shard) { // `listed` is sorted: it comes from a JSON object
    const SafeTensors shard = SafeTensors::open(folder / file);
    files.push_back(folder / file);
    for (const std::string& name : listed) {
      require<IoError>(shard.contains(name),
                       "[checkpoint] {} must hold tensor {}, says {}; it does not; fetch both again",
                       (folder / file).string(), printable(name), kIndexFile);
    }
    for (const TensorView& tensor : shard.tensors()) {
      if (std::binary_search(listed.begin(), listed.end(), tensor.name)) tensors.push_back(tensor);
    }
  }
  return tensors;
}

/// Says what is wrong with a folder that has neither kind of weights that can be read.
[[noreturn]] void reject_weights(const fs::path& folder) {
  bool has_pytorch = false;
  bool has_gguf = false;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string extension = entry->path().extension().string();
    has_pytorch = has_pytorch || extension == ".bin" || extension == ".pt" || extension == ".pth";
    has_gguf = has_gguf || extension == ".gguf";
  }
  require<Unsupported>(!has_pytorch,
                       "[checkpoint] safetensors are required; {} holds PyTorch weights only; convert them "
                       "with transformers: model.save_pretrained(folder, safe_serialization=True)",
                       folder.string());
  require<Unsupported>(!has_gguf,
                       "[checkpoint] safetensors are required; {} holds GGUF weights only; fetch the original "
                       "checkpoint",
                       folder.string());
  throw IoError(fmt::format("[checkpoint] {} or {} is required; {} has neither; fetch the weights", kWeightsFile,
                            kIndexFile, folder.string()));
}

} // namespace

Checkpoint Checkpoint::read_configs(const fs::path& folder, const fs::path& config_path) {
  require<IoError>(path_exists(config_path),
                   "[checkpoint] config.json is required; {} has none; is it a checkpoint's folder?", folder.string());
  Checkpoint checkpoint;
  checkpoint.folder_ = folder;
  checkpoint.config_path_ = config_path;
  checkpoint.config_ = normalized_config(read_json(config_path, kMaxConfigBytes), config_path.string());
  const fs::path generation = folder / "generation_config.json";
  if (path_exists(generation)) {
    checkpoint.generation_config_ = read_json(generation, kMaxConfigBytes);
    require<IoError>(checkpoint.generation_config_.is_object(), "[checkpoint] {} must hold a JSON object; received {}",
                     generation.string(), printable_json(checkpoint.generation_config_));
  }
  return checkpoint;
}

Checkpoint Checkpoint::open(const std::string& path_or_hub_name) {
  const fs::path folder = find_checkpoint_folder(path_or_hub_name);
  Checkpoint checkpoint = read_configs(folder, folder / "config.json");
  std::vector<TensorView> tensors;
  if (path_exists(folder / kWeightsFile)) {
    tensors = SafeTensors::open(folder / kWeightsFile).tensors();
    checkpoint.weight_files_ = {folder / kWeightsFile};
  } else if (path_exists(folder / kIndexFile)) {
    tensors = open_shards(folder, checkpoint.weight_files_);
  } else {
    reject_weights(folder);
  }
  checkpoint.weights_ = TensorTable(std::move(tensors), folder.string());
  checkpoint.has_weights_ = true;
  return checkpoint;
}

Checkpoint Checkpoint::open_weights(const std::string& path) {
  std::error_code error;
  const fs::path file = fs::is_directory(path, error) ? fs::path(path) / kWeightsFile : fs::path(path);
  require<IoError>(path_exists(file), "[checkpoint] weights are required; {} does not exist; check the path",
                   file.string());
  Checkpoint checkpoint;
  checkpoint.folder_ = file.parent_path();
  checkpoint.config_path_ = checkpoint.folder_ / "config.json";
  checkpoint.config_ = json::object();
  checkpoint.weights_ = TensorTable(SafeTensors::open(file).tensors(), file.string());
  checkpoint.weight_files_ = {file};
  checkpoint.has_weights_ = true;
  return checkpoint;
}

Checkpoint Checkpoint::open_config(const std::string& path_or_hub_name) {
  std::error_code error;
  const fs::path path = path_or_hub_name;
  if (path.extension() == ".json" && !fs::is_directory(path, error)) {
    require<IoError>(path_exists(path), "[checkpoint] a config file is required; {} does not exist; check the path",
                     path.string());
    // A lone config has no neighbours that belong to it: `configs/` holds many models.
    Checkpoint checkpoint;
    checkpoint.folder_ = path.parent_path();
    checkpoint.config_path_ = path;
    checkpoint.config_ = normalized_config(read_json(path, kMaxConfigBytes), path.string());
    return checkpoint;
  }
  const fs::path folder = find_checkpoint_folder(path_or_hub_name);
  return read_configs(folder, folder / "config.json");
}

} // namespace tessera::checkpoint
