#include "tessera/bringup/result_cache.hpp"

#include <optional>

#include "tessera/base/error.hpp"
#include "tessera/bringup/identity.hpp"
#include "tessera/checkpoint/safetensors.hpp"

namespace tessera::bringup {
namespace {

constexpr const char* kIdentity = "identity";
constexpr const char* kKey = "key";

std::optional<TensorMap> read(const std::filesystem::path& path, const std::string& identity, const std::string& key) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  try {
    const auto file = checkpoint::SafeTensors::open(path);
    const auto is = [&](const char* name, const std::string& value) {
      const auto entry = file.metadata().find(name);
      return entry != file.metadata().end() && entry->second == value;
    };
    if (!is(kIdentity, identity) || !is(kKey, key)) return std::nullopt;
    TensorMap result;
    for (const checkpoint::TensorView& tensor : file.tensors()) {
      result[tensor.name] = {Shape(tensor.shape), checkpoint::to_float(tensor)};
    }
    return result;
  } catch (const base::Error&) {
    return std::nullopt; // damaged: it is computed and written anew
  }
}

void write(const std::filesystem::path& path, const TensorMap& result, const std::string& identity,
           const std::string& key) {
  std::vector<checkpoint::OutputTensor> tensors;
  for (const auto& [name, tensor] : result) {
    const auto extents = tensor.shape.extents();
    tensors.push_back({.name = name,
                       .dtype = checkpoint::StorageType::F32,
                       .shape = {extents.begin(), extents.end()},
                       .data = std::as_bytes(std::span(tensor.data))});
  }
  checkpoint::write_safetensors(path, tensors, {{kIdentity, identity}, {kKey, key}});
}

} // namespace

ResultCache::ResultCache(std::filesystem::path folder, std::string identity)
    : folder_(std::move(folder)), identity_(std::move(identity)) {}

std::filesystem::path ResultCache::path_of(const std::string& key) const {
  // The key's first word tells a person what the file holds.
  return folder_ / (key.substr(0, key.find(' ')) + "-" + hash_of(identity_ + "\n" + key) + ".safetensors");
}

TensorMap ResultCache::get(const std::string& key, const std::function<TensorMap()>& compute) const {
  if (folder_.empty()) return compute();
  const std::filesystem::path path = path_of(key);
  if (auto stored = read(path, identity_, key)) return std::move(*stored);
  TensorMap result = compute();
  write(path, result, identity_, key);
  return result;
}

} // namespace tessera::bringup
