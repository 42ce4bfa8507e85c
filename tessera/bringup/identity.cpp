#include "tessera/bringup/identity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

namespace tessera::bringup {

std::string hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325u; // offset basis and prime: draft-eastlake-fnv, section 5
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return fmt::format("{:016x}", hash);
}

std::string ids_text(const Ids& ids) {
  return fmt::format("{}", fmt::join(ids, ","));
}

namespace {

/// ";norm.weight:F32[64]"
std::string heading_of(const checkpoint::TensorView& tensor) {
  return fmt::format(";{}:{}{}", tensor.name, checkpoint::to_string(tensor.dtype),
                     checkpoint::shape_to_string(tensor.shape));
}

} // namespace

std::string checkpoint_identity(const checkpoint::Checkpoint& checkpoint) {
  std::string text = checkpoint.config().dump();
  for (const std::string& name : checkpoint.tensor_names()) text += heading_of(checkpoint.tensor(name));
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(checkpoint.folder())) {
    if (entry.path().extension() != ".safetensors") continue;
    files.push_back(fmt::format(";{}:{}@{}", entry.path().filename().string(), entry.file_size(),
                                entry.last_write_time().time_since_epoch().count()));
  }
  std::sort(files.begin(), files.end());
  return hash_of(fmt::format("{}{}", text, fmt::join(files, "")));
}

std::string checkpoint_content(const checkpoint::Checkpoint& checkpoint) {
  std::string text = checkpoint.config().dump();
  for (const std::string& name : checkpoint.tensor_names()) {
    const checkpoint::TensorView& tensor = checkpoint.tensor(name);
    text += heading_of(tensor);
    constexpr std::size_t kSample = 256; // bytes: to read all weights would take as long as to load them
    const std::string_view bytes(reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size());
    const std::size_t last = bytes.size() - std::min(bytes.size(), kSample);
    for (const std::size_t at : {std::size_t{0}, last / 2, last}) text += bytes.substr(at, kSample);
  }
  return hash_of(text);
}

} // namespace tessera::bringup
