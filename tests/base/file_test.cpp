#include "tessera/base/file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <iterator>
#include <ostream>
#include <string>

#include "tessera/base/error.hpp"
#include "tests/base/temporary_folder.hpp"

namespace tessera::base {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::string as_text(std::span<const std::byte> bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

std::size_t count_files(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(MappedFile, ShowsTheContent) {
  const test::TemporaryFolder folder;
  const auto file = MappedFile::open(folder.write("a.bin", std::string("one\0two", 7)));
  EXPECT_EQ(as_text(file->bytes()), std::string("one\0two", 7));
}

TEST(MappedFile, GivesAnEmptySpanForAnEmptyFile) {
  const test::TemporaryFolder folder;
  EXPECT_TRUE(MappedFile::open(folder.write("empty", ""))->bytes().empty());
}

TEST(MappedFile, OutlivesTheFileThatWasReplaced) {
  const test::TemporaryFolder folder;
  const fs::path path = folder.write("a", "old");
  const auto file = MappedFile::open(path);
  write_file_atomically(path, "new content");
  EXPECT_EQ(as_text(file->bytes()), "old");
  EXPECT_EQ(read_file(path), "new content");
}

TEST(MappedFile, RefusesAbsentFilesAndFoldersByName) {
  const test::TemporaryFolder folder;
  const fs::path absent = folder.path() / "absent.bin";
  EXPECT_THAT([&] { MappedFile::open(absent); }, ThrowsMessage<IoError>(HasSubstr("absent.bin")));
  EXPECT_THAT([&] { MappedFile::open(folder.path()); },
              ThrowsMessage<IoError>(HasSubstr("a regular file is required")));
}

TEST(MappedFile, RefusesAFifoWithoutWaitingForItsWriter) {
  const test::TemporaryFolder folder;
  const fs::path fifo = folder.path() / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THROW(MappedFile::open(fifo), IoError);
}

TEST(ReadFile, ReadsTheWholeFile) {
  const test::TemporaryFolder folder;
  const std::string content(300'000, 'x');
  EXPECT_EQ(read_file(folder.write("big", content)), content);
}

TEST(ReadFile, RefusesFilesAboveTheLimit) {
  const test::TemporaryFolder folder;
  const fs::path path = folder.write("five", "12345");
  EXPECT_EQ(read_file(path, 5), "12345");
  EXPECT_THAT([&] { read_file(path, 4); }, ThrowsMessage<IoError>(HasSubstr("at most 4 bytes; it holds 5")));
}

TEST(WriteFileAtomically, CreatesParentFoldersAndLeavesNoOtherFile) {
  const test::TemporaryFolder folder;
  const fs::path path = folder.path() / "a" / "b" / "c.txt";
  write_file_atomically(path, "text");
  EXPECT_EQ(read_file(path), "text");
  EXPECT_EQ(count_files(path.parent_path()), 1u);
}

TEST(WriteFileAtomically, KeepsTheOldFileWhenTheWriterFails) {
  const test::TemporaryFolder folder;
  const fs::path path = folder.write("a.txt", "old");
  const auto fail_half_way = [](std::ostream& out) {
    out << "half";
    throw Unsupported("stop");
  };
  EXPECT_THROW(write_file_atomically(path, fail_half_way), Unsupported);
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(count_files(folder.path()), 1u);
}

TEST(WriteFileAtomically, NamesAFolderThatCannotBeMade) {
  const test::TemporaryFolder folder;
  folder.write("file", "");
  EXPECT_THAT([&] { write_file_atomically(folder.path() / "file" / "below.txt", "x"); },
              ThrowsMessage<IoError>(HasSubstr("file")));
}

} // namespace
} // namespace tessera::base
