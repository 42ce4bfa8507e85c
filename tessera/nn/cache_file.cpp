#include "tessera/nn/cache_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include "tessera/base/error.hpp"
#include "tessera/checkpoint/json_text.hpp"
#include "tessera/nn/weight_cache.hpp"
#include "tessera/spec/shape.hpp"

namespace tessera::nn::cache_file {
namespace {

namespace fs = std::filesystem;
using base::IoError;
using base::require;

struct Preamble {
  std::array<char, 8> magic{'T', 'S', 'R', 'W', 'G', 'H', 'T', '1'};
  std::uint64_t index_bytes = 0;
  std::uint64_t index_checksum = 0;
  std::uint64_t data_offset = 0;
};
static_assert(sizeof(Preamble) == 32);

constexpr std::uint64_t kMostIndexBytes = std::uint64_t{64} << 20;
constexpr std::int64_t kHugePage = std::int64_t{2} << 20;
// Characters of a checksum in the index, with its comma.
constexpr std::int64_t kChecksumText = 21;
// Left free on the disk: a cache must not be what fills it.
constexpr std::uintmax_t kFreeBytes = std::uintmax_t{1} << 30;

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

void read_at(int file, void* out, std::size_t bytes, off_t offset) {
  const ssize_t count = ::pread(file, out, bytes, offset);
  require<IoError>(count == static_cast<ssize_t>(bytes), "its header cannot be read whole");
}

} // namespace

Header read_header(int file) {
  struct stat info {};
  require<IoError>(::fstat(file, &info) == 0 && S_ISREG(info.st_mode), "it is no regular file");
  Preamble preamble;
  read_at(file, &preamble, sizeof(preamble), 0);
  require<IoError>(preamble.magic == Preamble{}.magic, "it starts with other bytes than a weight cache");
  require<IoError>(preamble.index_bytes <= kMostIndexBytes &&
                       preamble.index_bytes + sizeof(preamble) <= preamble.data_offset &&
                       preamble.data_offset <= static_cast<std::uint64_t>(info.st_size),
                   "its header contradicts its size");
  std::string text(preamble.index_bytes, '\0');
  read_at(file, text.data(), text.size(), sizeof(preamble));
  require<IoError>(checksum(bytes_of(text)) == preamble.index_checksum, "the checksum of its index is wrong");
  Header header{checkpoint::parse_json(text, "the index"), static_cast<std::int64_t>(preamble.data_offset)};
  const std::int64_t bytes = header.index.at("end").get<std::int64_t>() - header.index.at("begin").get<std::int64_t>();
  require<IoError>(header.data_offset + bytes == info.st_size, "{} bytes are required; it has {}",
                   header.data_offset + bytes, static_cast<std::int64_t>(info.st_size));
  require<IoError>(header.index.at("weights").is_array() && header.index.contains("checksums"),
                   "its index lacks parts");
  return header;
}

Writer::Writer(fs::path path, nlohmann::json index, std::int64_t begin, std::int64_t bytes, std::int64_t block)
    : path_(std::move(path)), temporary_(path_.string() + ".tmp"), index_(std::move(index)) {
  std::error_code error;
  fs::create_directories(path_.parent_path(), error);
  require<IoError>(!error, "cannot create {}: {}", path_.parent_path().string(), error.message());
  const fs::space_info space = fs::space(path_.parent_path(), error);
  require<IoError>(error || space.available >= static_cast<std::uintmax_t>(bytes) + kFreeBytes,
                   "{} bytes are required and 1 GiB to spare; {} are free", bytes, space.available);
  index_["checksums"] = nlohmann::json::array();
  const std::int64_t header =
      static_cast<std::int64_t>(sizeof(Preamble) + index_.dump().size()) + div_up(bytes, block) * kChecksumText;
  // Where file and memory agree modulo the size of a huge page, the system can map the one by the other's.
  data_offset_ = round_up(header, kHugePage) + begin % kHugePage;
  if (!lock()) return;
  require<IoError>(::ftruncate(file_, 0) == 0, "cannot write {}: {}", temporary_.string(), std::strerror(errno));
}

bool Writer::lock() {
  file_ = ::open(temporary_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  require<IoError>(file_ >= 0, "cannot create {}: {}", temporary_.string(), std::strerror(errno));
  struct stat mine {};
  struct stat named {};
  // The file may have been published, under its other name, between being opened and being locked.
  if (::flock(file_, LOCK_EX | LOCK_NB) == 0 && ::fstat(file_, &mine) == 0 && ::stat(temporary_.c_str(), &named) == 0 &&
      mine.st_ino == named.st_ino) {
    return true;
  }
  ::close(file_);
  file_ = -1;
  return false;
}

Writer::~Writer() {
  if (file_ < 0) return;
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  ::close(file_);
}

void Writer::write_at(std::span<const std::byte> bytes, std::int64_t offset) const {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(file_, bytes.data(), bytes.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    require<IoError>(count > 0, "cannot write {}: {}", temporary_.string(), std::strerror(errno));
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += count;
  }
}

void Writer::write(std::span<const std::byte> block, std::uint64_t checksum_of_block) {
  write_at(block, data_offset_ + written_);
  written_ += static_cast<std::int64_t>(block.size());
  index_["checksums"].push_back(checksum_of_block);
}

void Writer::publish() {
  const std::string text = index_.dump();
  const Preamble preamble{.index_bytes = text.size(),
                          .index_checksum = checksum(bytes_of(text)),
                          .data_offset = static_cast<std::uint64_t>(data_offset_)};
  write_at(bytes_of(text), sizeof(preamble));
  write_at(std::as_bytes(std::span(&preamble, 1)), 0);
  require<IoError>(::rename(temporary_.c_str(), path_.c_str()) == 0, "cannot rename {}: {}", temporary_.string(),
                   std::strerror(errno));
  temporary_.clear();
}

} // namespace tessera::nn::cache_file
