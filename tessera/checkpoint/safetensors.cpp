#include "tessera/checkpoint/safetensors.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/checkpoint/json_text.hpp"

namespace tessera::checkpoint {
namespace {

using base::IoError;
using base::require;
using nlohmann::json;

constexpr std::size_t kLengthBytes = 8;
// The limit of the format's own library, against headers that are bombs.
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

/// One tensor of the header: its place in the data section, and the view without its bytes.
struct Entry {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  TensorView view;
};

std::string_view header_text(std::span<const std::byte> bytes, const std::string& where) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  require<IoError>(!text.starts_with("version https://git-lfs"),
                   "[safetensors] {} must hold tensors; it is a Git LFS pointer; run 'git lfs pull' in its folder",
                   where);
  require<IoError>(bytes.size() >= kLengthBytes,
                   "[safetensors] {} must start with an 8-byte header length; it holds {} bytes; fetch it again", where,
                   bytes.size());
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  require<IoError>(length <= kMaxHeaderBytes,
                   "[safetensors] the header of {} may have at most {} bytes; it claims {}; is it a safetensors file?",
                   where, kMaxHeaderBytes, length);
  require<IoError>(length <= bytes.size() - kLengthBytes,
                   "[safetensors] {} is truncated: its header needs {} bytes, {} follow; fetch it again", where, length,
                   bytes.size() - kLengthBytes);
  return text.substr(kLengthBytes, length);
}

std::map<std::string, std::string> read_metadata(const json& value, const std::string& where) {
  std::map<std::string, std::string> metadata;
  if (value.is_null()) return metadata;
  require<IoError>(value.is_object(), "[safetensors] __metadata__ of {} must be an object of strings; received {}",
                   where, printable_json(value));
  for (const auto& [key, text] : value.items()) {
    require<IoError>(text.is_string(), "[safetensors] __metadata__ of {} must hold strings; \"{}\" is {}", where,
                     printable(key), printable_json(text));
    metadata.emplace(key, text.get<std::string>());
  }
  return metadata;
}

const json& field(const json& info, const char* key, const std::string& where, const std::string& name) {
  const auto found = info.find(key);
  require<IoError>(found != info.end(),
                   "[safetensors] every tensor must have dtype, shape and data_offsets; {} in {} "
                   "lacks {}; the header is damaged",
                   printable(name), where, key);
  return *found;
}

std::uint64_t offset(const json& value, const std::string& where, const std::string& name) {
  require<IoError>(value.is_number_unsigned(),
                   "[safetensors] data_offsets of {} in {} must be non-negative integers; received {}", printable(name),
                   where, printable_json(value));
  return value.get<std::uint64_t>();
}

Entry read_entry(const std::string& name, const json& info, const std::string& where) {
  require<IoError>(info.is_object(), "[safetensors] tensor {} in {} must be described by an object; received {}",
                   printable(name), where, printable_json(info));
  Entry entry;
  entry.view.name = name;

  const json& dtype = field(info, "dtype", where, name);
  const auto type = dtype.is_string() ? parse_storage_type(dtype.get_ref<const std::string&>()) : std::nullopt;
  require<IoError>(type.has_value(), "[safetensors] dtype of {} in {} must be one of {}; received {}; convert it",
                   printable(name), where, storage_type_names(), printable_json(dtype));
  entry.view.dtype = *type;

  const json& shape = field(info, "shape", where, name);
  require<IoError>(shape.is_array(), "[safetensors] shape of {} in {} must be an array; received {}", printable(name),
                   where, printable_json(shape));
  for (const json& dim : shape) {
    const bool fits = dim.is_number_unsigned() &&
                      dim.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    require<IoError>(fits, "[safetensors] dimensions of {} in {} must be integers of 0 or more; received {}",
                     printable(name), where, printable_json(dim));
    entry.view.shape.push_back(dim.get<std::int64_t>());
  }

  const json& offsets = field(info, "data_offsets", where, name);
  require<IoError>(offsets.is_array() && offsets.size() == 2,
                   "[safetensors] data_offsets of {} in {} must be [begin, end]; received {}", printable(name), where,
                   printable_json(offsets));
  entry.begin = offset(offsets[0], where, name);
  entry.end = offset(offsets[1], where, name);
  require<IoError>(entry.begin <= entry.end,
                   "[safetensors] data_offsets of {} in {} must not be reversed; received [{}, {}]", printable(name),
                   where, entry.begin, entry.end);

  const auto needed = storage_bytes(entry.view.shape, entry.view.dtype);
  require<IoError>(needed.has_value(), "[safetensors] the size of {} in {} must fit in 63 bits; its shape is {}",
                   printable(name), where, shape_to_string(entry.view.shape));
  require<IoError>(*needed == entry.end - entry.begin,
                   "[safetensors] {} in {} must have the {} bytes of {} {}; its data_offsets [{}, {}] give {}",
                   printable(name), where, *needed, to_string(entry.view.dtype), shape_to_string(entry.view.shape),
                   entry.begin, entry.end, entry.end - entry.begin);
  return entry;
}

/// Gives each entry its bytes. The tensors must fill the data section: no overlap, no gap, nothing left over. The order
/// of the names in the header is free.
std::vector<TensorView> place_tensors(std::vector<Entry> entries, std::span<const std::byte> data,
                                      const std::shared_ptr<const void>& owner, bool mapped, const std::string& where) {
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::vector<TensorView> tensors;
  tensors.reserve(entries.size());
  std::uint64_t position = 0;
  for (Entry& entry : entries) {
    require<IoError>(
        entry.end <= data.size(),
        "[safetensors] {} in {} lies at bytes {}..{}, but only {} follow the header: the file is truncated "
        "or its header damaged; fetch it again",
        printable(entry.view.name), where, entry.begin, entry.end, data.size());
    require<IoError>(entry.begin >= position,
                     "[safetensors] tensors in {} must not overlap; {} starts at byte {}, inside {} which ends at {}",
                     where, printable(entry.view.name), entry.begin,
                     tensors.empty() ? "" : printable(tensors.back().name), position);
    require<IoError>(
        entry.begin == position,
        "[safetensors] tensors in {} must lie without gaps; {} starts at byte {}, the one before ends at {}", where,
        printable(entry.view.name), entry.begin, position);
    entry.view.data = data.subspan(entry.begin, entry.end - entry.begin);
    entry.view.owner = owner;
    entry.view.mapped = mapped;
    position = entry.end;
    tensors.push_back(std::move(entry.view));
  }
  require<IoError>(position == data.size(),
                   "[safetensors] the tensors of {} must fill the file; they end at byte {} of {}; the file is damaged",
                   where, position, data.size());
  return tensors;
}

} // namespace

std::optional<std::uint64_t> storage_bytes(std::span<const std::int64_t> shape, StorageType dtype) {
  std::int64_t bytes = static_cast<std::int64_t>(element_size(dtype));
  for (const std::int64_t dim : shape) {
    if (dim < 0 || __builtin_mul_overflow(bytes, dim, &bytes)) return std::nullopt;
  }
  return static_cast<std::uint64_t>(bytes);
}

SafeTensors SafeTensors::open(const std::filesystem::path& path) {
  const auto file = base::MappedFile::open(path);
  return read(file->bytes(), file, true, path.string());
}

SafeTensors SafeTensors::from_bytes(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                                    const std::string& where) {
  return read(bytes, owner, false, where);
}

SafeTensors SafeTensors::read(std::span<const std::byte> bytes, const std::shared_ptr<const void>& owner, bool mapped,
                              const std::string& where) {
  const std::string_view text = header_text(bytes, where);
  const json header = parse_json(text, "the header of " + where);
  require<IoError>(header.is_object(), "[safetensors] the header of {} must be a JSON object; received {}", where,
                   printable_json(header));
  SafeTensors file;
  std::vector<Entry> entries;
  entries.reserve(header.size());
  for (const auto& [name, info] : header.items()) {
    if (name == "__metadata__") {
      file.metadata_ = read_metadata(info, where);
    } else {
      entries.push_back(read_entry(name, info, where));
    }
  }
  const auto data = bytes.subspan(kLengthBytes + text.size());
  file.table_ = TensorTable(place_tensors(std::move(entries), data, owner, mapped, where), where);
  return file;
}

} // namespace tessera::checkpoint
