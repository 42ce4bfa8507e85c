#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tessera/checkpoint/storage_type.hpp"
#include "tessera/checkpoint/tensor_table.hpp"
#include "tessera/checkpoint/tensor_view.hpp"

namespace tessera::checkpoint {

/// A safetensors file: 8 bytes header length, a JSON header, then the tensors' bytes without gaps
/// (https://github.com/huggingface/safetensors, "Format"). Nothing is copied: tensors are views into the mapped file,
/// and stay valid after this object is gone.
class SafeTensors {
 public:
  /// Maps the file and checks the whole header. Throws IoError, naming file and tensor, for: a truncated file; a header
  /// length beyond the file or above 100 MB; bad, deeply nested or duplicate-key JSON; an unknown dtype; negative or
  /// overflowing shapes; data offsets that are reversed, overlap, leave gaps, pass the end of the file or do not match
  /// shape and dtype; bytes that belong to no tensor.
  static SafeTensors open(const std::filesystem::path& path);

  /// The same over bytes already in memory, which `owner` keeps alive. `where` names them in error texts.
  static SafeTensors from_bytes(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                                const std::string& where);

  /// In the order of their data in the file.
  std::vector<std::string> names() const { return table_.names(); }
  const std::vector<TensorView>& tensors() const { return table_.tensors(); }
  bool contains(const std::string& name) const { return table_.contains(name); }
  /// Throws IoError that names the nearest names when there is no such tensor.
  const TensorView& at(const std::string& name) const { return table_.at(name); }
  /// The header's `__metadata__`; empty when absent.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  static SafeTensors read(std::span<const std::byte> bytes, const std::shared_ptr<const void>& owner, bool mapped,
                          const std::string& where);

  TensorTable table_;
  std::map<std::string, std::string> metadata_;
};

/// A tensor to be written. `data` is row-major and little-endian, its size that of shape and dtype.
struct OutputTensor {
  std::string name;
  StorageType dtype = StorageType::F32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;
};

/// Writes the tensors in the given order, the data section aligned to 8 bytes. The file appears whole or not at all.
/// Throws InvalidArgument for names that repeat or are not UTF-8 and for data that does not fit its shape, IoError when
/// writing fails.
void write_safetensors(const std::filesystem::path& path, std::span<const OutputTensor> tensors,
                       const std::map<std::string, std::string>& metadata = {});

/// Bytes of a tensor of this shape and dtype; nothing when a dimension is negative or the product overflows.
std::optional<std::uint64_t> storage_bytes(std::span<const std::int64_t> shape, StorageType dtype);

} // namespace tessera::checkpoint
