#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>

// The weight cache's file: 32 bytes of preamble, the index as JSON, and from `data_offset` on the image of memory.

namespace tessera::nn::cache_file {

struct Header {
  nlohmann::json index;
  std::int64_t data_offset = 0;
};

/// Reads and checks preamble, index and the file's size. Throws IoError that says what is wrong.
Header read_header(int file);

/// Writes a file under another name in its folder and gives it its own when it is whole. A file that was begun and not
/// published is removed, or, after a kill, written over by the next writer: never read.
class Writer {
 public:
  /// `index` without checksums; `begin`: the image's place in memory, which its place in the file equals modulo the
  /// size of a huge page; `block`: bytes of each call of write but the last. Throws IoError.
  Writer(std::filesystem::path path, nlohmann::json index, std::int64_t begin, std::int64_t bytes, std::int64_t block);
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  /// False when another process is writing this file.
  bool begun() const { return file_ >= 0; }
  /// The next bytes of the image.
  void write(std::span<const std::byte> block, std::uint64_t checksum);
  void publish();

 private:
  bool lock();
  void write_at(std::span<const std::byte> bytes, std::int64_t offset) const;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  nlohmann::json index_;
  std::int64_t data_offset_ = 0;
  std::int64_t written_ = 0;
  int file_ = -1;
};

} // namespace tessera::nn::cache_file
