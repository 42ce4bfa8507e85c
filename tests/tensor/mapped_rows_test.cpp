#include "tessera/tensor/mapped_rows.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

namespace tessera::tensor {
namespace {

/// Pages of anonymous memory, which read as zeros once they have been let go.
class Pages {
 public:
  explicit Pages(std::size_t bytes) : bytes_(bytes) {
    memory_ = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    std::fill(data(), data() + bytes, std::byte{1});
  }
  ~Pages() { ::munmap(memory_, bytes_); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  std::byte* data() { return static_cast<std::byte*>(memory_); }
  std::span<const std::byte> span() { return {data(), bytes_}; }

 private:
  std::size_t bytes_;
  void* memory_;
};

TEST(MappedRows, LetsRowsOfTheFileGoAndLeavesScratchAlone) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  Pages file(2 * page);
  Pages scratch(2 * page);
  const std::array<const std::byte*, 3> rows = {scratch.data(), file.data(), scratch.data() + page};
  {
    const MappedRows held(true, rows, static_cast<std::int64_t>(page), scratch.span());
    EXPECT_EQ(*file.data(), std::byte{1});
  }
  EXPECT_THAT(scratch.span(), testing::Each(std::byte{1}));
  EXPECT_THAT(file.span().first(page), testing::Each(std::byte{0}));
  EXPECT_THAT(file.span().last(page), testing::Each(std::byte{1}));
}

TEST(MappedRows, LeavesOrdinaryMemoryAlone) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  Pages memory(page);
  const std::array<const std::byte*, 1> rows = {memory.data()};
  { const MappedRows held(false, rows, static_cast<std::int64_t>(page), {}); }
  EXPECT_THAT(memory.span(), testing::Each(std::byte{1}));
}

} // namespace
} // namespace tessera::tensor
