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

std::string checkpoint_identity(const checkpoint::Checkpoint& checkpoint) {
  std::string text = checkpoint.config().dump();
  for (const std::string& name : checkpoint.tensor_names()) {
    const checkpoint::TensorView& tensor = checkpoint.tensor(name);
    text +=
        fmt::format(";{}:{}{}", name, checkpoint::to_string(tensor.dtype), checkpoint::shape_to_string(tensor.shape));
  }
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(checkpoint.folder())) {
    if (entry.path().extension() != ".safetensors") continue;
    files.push_back(fmt::format(";{}:{}@{}", entry.path().filename().string(), entry.file_size(),
                                entry.last_write_time().time_since_epoch().count()));
  }
  std::sort(files.begin(), files.end());
  return hash_of(fmt::format("{}{}", text, fmt::join(files, "")));
}

} // namespace tessera::bringup
