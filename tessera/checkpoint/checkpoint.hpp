#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tessera/checkpoint/safetensors.hpp"

namespace tessera::checkpoint {

/// A Hugging Face checkpoint: `config.json`, `generation_config.json` and the weights of one folder. Weights are
/// memory-mapped; nothing is read before it is used. A value type: copies share the mapped files.
class Checkpoint {
 public:
  /// Opens a folder, or a Hugging Face name (`org/name`) in the local cache, with its weights: `model.safetensors`, or
  /// the shards of `model.safetensors.index.json`. Every header is checked here. Throws IoError for absent or damaged
  /// files, Unsupported for PyTorch `.bin` and GGUF weights, InvalidArgument for a config that contradicts itself.
  static Checkpoint open(const std::string& path_or_hub_name);

  /// Opens the config alone: a `.json` file, a folder or a Hugging Face name. Weights are not looked at.
  static Checkpoint open_config(const std::string& path_or_hub_name);

  /// Opens weights alone, as torchvision's come: a folder with `model.safetensors`, or a `.safetensors` file.
  /// `config()` is an empty object. Throws IoError for absent or damaged files.
  static Checkpoint open_weights(const std::string& path);

  /// `config.json` in the older spelling, see `normalized_config`.
  const nlohmann::json& config() const { return config_; }
  /// The config's file, for error texts.
  const std::filesystem::path& config_path() const { return config_path_; }
  /// `generation_config.json`; an empty object when absent.
  const nlohmann::json& generation_config() const { return generation_config_; }

  bool has_weights() const { return has_weights_; }
  bool contains(const std::string& name) const { return weights_.contains(name); }
  /// Throws IoError that names the nearest names when there is no such tensor.
  const TensorView& tensor(const std::string& name) const { return weights_.at(name); }
  /// Shard by shard, each in the order of its data. With an index, exactly the tensors that the index lists.
  std::vector<std::string> tensor_names() const { return weights_.names(); }
  /// Bytes of all tensors as stored.
  std::uint64_t weight_bytes() const { return weights_.bytes(); }

  /// The files that hold the weights.
  const std::vector<std::filesystem::path>& weight_files() const { return weight_files_; }
  /// Where the files lie; the tokenizer's files are here too.
  const std::filesystem::path& folder() const { return folder_; }

 private:
  static Checkpoint read_configs(const std::filesystem::path& folder, const std::filesystem::path& config_path);

  std::filesystem::path folder_;
  std::filesystem::path config_path_;
  nlohmann::json config_;
  nlohmann::json generation_config_ = nlohmann::json::object();
  TensorTable weights_;
  std::vector<std::filesystem::path> weight_files_;
  bool has_weights_ = false;
};

} // namespace tessera::checkpoint
