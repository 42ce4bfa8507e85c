#include "tessera/checkpoint/torch_file.hpp"

#include <array>
#include <functional>
#include <limits>
#include <numeric>
#include <string_view>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"

namespace tessera::checkpoint {
namespace {

constexpr std::uint64_t kMaxBytes = std::numeric_limits<std::int32_t>::max();
constexpr std::size_t kAlignment = 64; // of a tensor's bytes in the file, as torch.save has it

void put(std::string& bytes, std::uint64_t value, int count) {
  for (int i = 0; i < count; ++i) bytes += static_cast<char>(value >> (8 * i));
}

/// The opcodes of Python's pickle, protocol 2, that a dictionary of tensors takes.
class Pickle {
 public:
  Pickle& op(std::string_view opcode) {
    bytes_ += opcode;
    return *this;
  }
  Pickle& text(std::string_view text) {
    bytes_ += 'X';
    put(bytes_, text.size(), 4);
    return op(text);
  }
  Pickle& integer(std::int64_t value) {
    bytes_ += 'J';
    put(bytes_, static_cast<std::uint64_t>(value), 4);
    return *this;
  }
  Pickle& global(std::string_view module, std::string_view name) {
    return op("c").op(module).op("\n").op(name).op("\n");
  }
  Pickle& tuple(std::span<const std::int64_t> values) {
    op("(");
    for (const std::int64_t value : values) integer(value);
    return op("t");
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

std::int64_t volume(std::span<const std::int64_t> shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

std::vector<std::int64_t> row_major_strides(std::span<const std::int64_t> shape) {
  std::vector<std::int64_t> strides(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

/// {name: torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())}
std::string pickle_of(std::span<const IntegerTensor> tensors) {
  Pickle pickle;
  pickle.op("\x80\x02").op("}").op("(");
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const IntegerTensor& tensor = tensors[i];
    pickle.text(tensor.name).global("torch._utils", "_rebuild_tensor_v2").op("(");
    pickle.op("(").text("storage").global("torch", "LongStorage").text(std::to_string(i)).text("cpu");
    pickle.integer(static_cast<std::int64_t>(tensor.values.size())).op("t").op("Q");
    pickle.integer(0).tuple(tensor.shape).tuple(row_major_strides(tensor.shape)).op("\x89");
    pickle.global("collections", "OrderedDict").op(")").op("R").op("t").op("R");
  }
  return pickle.op("u").op(".").bytes();
}

/// CRC-32 as in ISO 3309, which zip takes.
std::uint32_t crc32(std::string_view bytes) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> entries{};
    for (std::uint32_t i = 0; i < entries.size(); ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xEDB88320U : 0U);
      entries[i] = value;
    }
    return entries;
  }();
  std::uint32_t crc = ~0U;
  for (const char byte : bytes) crc = (crc >> 8) ^ table[(crc ^ static_cast<std::uint8_t>(byte)) & 0xFF];
  return ~crc;
}

/// A zip archive of stored records (PKWARE's APPNOTE, 4.3).
class ZipArchive {
 public:
  void add(const std::string& name, std::string_view data) {
    const std::size_t begin = bytes_.size();
    // An extra field moves the data to its alignment; readers skip it.
    const std::size_t before = begin + kLocalHeader + name.size() + kExtraHeader;
    const std::size_t padding = (kAlignment - before % kAlignment) % kAlignment;
    put(bytes_, 0x04034B50, 4);
    put_entry(bytes_, name, data, kExtraHeader + padding);
    bytes_ += name;
    put(bytes_, 0x4246, 2);
    put(bytes_, padding, 2);
    bytes_.append(padding, '\0');
    bytes_ += data;

    put(directory_, 0x02014B50, 4);
    put(directory_, 0, 2); // made by
    put_entry(directory_, name, data, 0);
    directory_.append(10, '\0'); // comment, disk, attributes
    put(directory_, begin, 4);
    directory_ += name;
    ++count_;
  }

  std::string finish() {
    const std::size_t begin = bytes_.size();
    bytes_ += directory_;
    put(bytes_, 0x06054B50, 4);
    put(bytes_, 0, 4); // disks
    put(bytes_, count_, 2);
    put(bytes_, count_, 2);
    put(bytes_, directory_.size(), 4);
    put(bytes_, begin, 4);
    put(bytes_, 0, 2);
    return std::move(bytes_);
  }

 private:
  static constexpr std::size_t kLocalHeader = 30;
  static constexpr std::size_t kExtraHeader = 4;

  /// What both headers of a record share, from the version to the length of the extra field.
  static void put_entry(std::string& to, const std::string& name, std::string_view data, std::size_t extra) {
    put(to, 20, 2);     // version that is needed
    put(to, 0, 4);      // flags; stored
    put(to, 0, 2);      // time
    put(to, 0x0021, 2); // 1 January 1980: the same content gives the same file
    put(to, crc32(data), 4);
    put(to, data.size(), 4);
    put(to, data.size(), 4);
    put(to, name.size(), 2);
    put(to, extra, 2);
  }

  std::string bytes_;
  std::string directory_;
  std::uint64_t count_ = 0;
};

} // namespace

void write_torch_file(const std::filesystem::path& path, std::span<const IntegerTensor> tensors) {
  std::uint64_t total = 0;
  for (const IntegerTensor& tensor : tensors) {
    base::require(static_cast<std::int64_t>(tensor.values.size()) == volume(tensor.shape),
                  "[torch file] {} must hold as many values as its shape says, {}; received {}", tensor.name,
                  volume(tensor.shape), tensor.values.size());
    total += 8 * tensor.values.size();
  }
  base::require(total < kMaxBytes, "[torch file] at most 2 GB are possible; received {} bytes", total);
  ZipArchive archive;
  archive.add("archive/data.pkl", pickle_of(tensors));
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    std::string data;
    data.reserve(8 * tensors[i].values.size());
    for (const std::int64_t value : tensors[i].values) put(data, static_cast<std::uint64_t>(value), 8);
    archive.add("archive/data/" + std::to_string(i), data);
  }
  archive.add("archive/version", "3\n");
  archive.add("archive/byteorder", "little");
  base::write_file_atomically(path, archive.finish());
}

} // namespace tessera::checkpoint
