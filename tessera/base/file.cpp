#include "tessera/base/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

#include "tessera/base/error.hpp"

namespace tessera::base {
namespace {

namespace fs = std::filesystem;

/// Opens a regular file for reading and returns its descriptor and size.
struct OpenFile {
  explicit OpenFile(const fs::path& path) {
    // O_NONBLOCK: opening a FIFO would wait for a writer before it could be refused below.
    fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    require<IoError>(fd >= 0, "[file] cannot open {}: {}; check the path and its permissions", path.string(),
                     std::strerror(errno));
    struct stat info {};
    if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
      ::close(fd);
      throw IoError(fmt::format("[file] a regular file is required; {} is not one; check the path", path.string()));
    }
    size = static_cast<std::size_t>(info.st_size);
  }
  ~OpenFile() { ::close(fd); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  int fd = -1;
  std::size_t size = 0;
};

} // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const fs::path& path) {
  OpenFile file(path);
  std::span<const std::byte> bytes;
  if (file.size > 0) {
    void* address = ::mmap(nullptr, file.size, PROT_READ, MAP_PRIVATE, file.fd, 0);
    require<IoError>(address != MAP_FAILED, "[file] cannot map {} ({} bytes): {}", path.string(), file.size,
                     std::strerror(errno));
    bytes = {static_cast<const std::byte*>(address), file.size};
  }
  return std::shared_ptr<const MappedFile>(new MappedFile(path, bytes));
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

std::string read_file(const fs::path& path, std::size_t max_bytes) {
  OpenFile file(path);
  require<IoError>(file.size <= max_bytes, "[file] {} may hold at most {} bytes; it holds {}", path.string(), max_bytes,
                   file.size);
  std::string content(file.size, '\0');
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t count = ::read(file.fd, content.data() + done, content.size() - done);
    if (count < 0 && errno == EINTR) continue;
    require<IoError>(count > 0, "[file] cannot read {}: {}", path.string(),
                     count < 0 ? std::strerror(errno) : "it became shorter while being read");
    done += static_cast<std::size_t>(count);
  }
  return content;
}

void write_file_atomically(const fs::path& path, const std::function<void(std::ostream&)>& write) {
  std::error_code error;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), error);
  require<IoError>(!error, "[file] cannot create the folder {}: {}", path.parent_path().string(), error.message());
  const fs::path temporary = path.string() + fmt::format(".{}.tmp", ::getpid());
  try {
    std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
    require<IoError>(out.good(), "[file] cannot create {}: {}", temporary.string(), std::strerror(errno));
    write(out);
    out.close();
    require<IoError>(out.good(), "[file] cannot write {}: {}; is the disk full?", temporary.string(),
                     std::strerror(errno));
    fs::rename(temporary, path, error);
    require<IoError>(!error, "[file] cannot rename {} to {}: {}", temporary.string(), path.string(), error.message());
  } catch (...) {
    fs::remove(temporary, error);
    throw;
  }
}

void write_file_atomically(const fs::path& path, std::string_view content) {
  write_file_atomically(
      path, [&](std::ostream& out) { out.write(content.data(), static_cast<std::streamsize>(content.size())); });
}

} // namespace tessera::base
