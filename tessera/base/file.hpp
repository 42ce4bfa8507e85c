#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace tessera::base {

/// A whole file mapped read-only into memory. Shared ownership: views may outlive the object that opened it.
class MappedFile {
 public:
  /// Maps `path`. Throws IoError naming the path when it is absent, not a regular file, or cannot be mapped.
  /// An empty file gives an empty span.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  MappedFile(std::filesystem::path path, std::span<const std::byte> bytes) : path_(std::move(path)), bytes_(bytes) {}

  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

/// Reads a whole file. Throws IoError when it is absent, a directory, unreadable, or larger than `max_bytes`.
std::string read_file(const std::filesystem::path& path, std::size_t max_bytes = std::size_t{1} << 32);

/// Writes a file so that a reader sees the old content or the new, never a part: to a temporary name in the same
/// folder, then renamed. Creates missing parent folders. Throws IoError; on any failure the temporary file is removed.
void write_file_atomically(const std::filesystem::path& path, const std::function<void(std::ostream&)>& write);
void write_file_atomically(const std::filesystem::path& path, std::string_view content);

} // namespace tessera::base
