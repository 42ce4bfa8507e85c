#include <cstring>
#include <nlohmann/json.hpp>
#include <ostream>
#include <set>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/checkpoint/json_text.hpp"
#include "tessera/checkpoint/safetensors.hpp"

namespace tessera::checkpoint {
namespace {

using base::require;
using nlohmann::json;

void require_writable(std::span<const OutputTensor> tensors) {
  std::set<std::string> names;
  for (const OutputTensor& tensor : tensors) {
    require(tensor.name != "__metadata__", "[write_safetensors] a tensor may not be named __metadata__; rename it");
    require(names.insert(tensor.name).second,
            "[write_safetensors] tensor names must be unique; {} comes twice; rename one", printable(tensor.name));
    const auto needed = storage_bytes(tensor.shape, tensor.dtype);
    require(needed == tensor.data.size(),
            "[write_safetensors] the data of {} must be the bytes of {} {}; received {} bytes", printable(tensor.name),
            to_string(tensor.dtype), shape_to_string(tensor.shape), tensor.data.size());
  }
}

/// Built entry by entry because a JSON object of the library would sort the names.
std::string make_header(std::span<const OutputTensor> tensors, const std::map<std::string, std::string>& metadata) {
  std::string header = "{";
  if (!metadata.empty()) header += "\"__metadata__\":" + json(metadata).dump();
  std::uint64_t begin = 0;
  for (const OutputTensor& tensor : tensors) {
    const std::uint64_t end = begin + tensor.data.size();
    const json info = {
        {"dtype", to_string(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", json::array({begin, end})}};
    if (header.size() > 1) header += ",";
    header += json(tensor.name).dump() + ":" + info.dump();
    begin = end;
  }
  header += "}";
  header.append((8 - header.size() % 8) % 8, ' ');
  return header;
}

} // namespace

void write_safetensors(const std::filesystem::path& path, std::span<const OutputTensor> tensors,
                       const std::map<std::string, std::string>& metadata) {
  require_writable(tensors);
  std::string header;
  try {
    header = make_header(tensors, metadata);
  } catch (const json::exception& error) {
    throw base::InvalidArgument(fmt::format("[write_safetensors] names and metadata must be UTF-8; received: {}",
                                            printable(error.what(), 160)));
  }
  base::write_file_atomically(path, [&](std::ostream& out) {
    const std::uint64_t length = header.size();
    out.write(reinterpret_cast<const char*>(&length), sizeof(length));
    out.write(header.data(), static_cast<std::streamsize>(header.size()));
    for (const OutputTensor& tensor : tensors) {
      out.write(reinterpret_cast<const char*>(tensor.data.data()), static_cast<std::streamsize>(tensor.data.size()));
    }
  });
}

} // namespace tessera::checkpoint
