#include "tessera/checkpoint/torch_file.hpp"

#include <gtest/gtest.h>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tests/base/temporary_folder.hpp"

namespace tessera::checkpoint {
namespace {

std::uint64_t little_endian(const std::string& bytes, std::size_t at, int count) {
  std::uint64_t value = 0;
  for (int i = count; i-- > 0;)
    value = value << 8 | static_cast<std::uint8_t>(bytes.at(at + static_cast<std::size_t>(i)));
  return value;
}

TEST(TorchFile, HoldsEachTensorsBytesAlignedTo64) {
  const test::TemporaryFolder folder;
  const IntegerTensor tensors[] = {{"a", {2, 3}, {1, 2, 3, 4, 5, -6}}, {"b", {1}, {std::int64_t{1} << 40}}};
  write_torch_file(folder.path() / "x.pt", tensors);
  const std::string bytes = base::read_file(folder.path() / "x.pt");
  const std::size_t name = bytes.find("archive/data/0");
  ASSERT_NE(name, std::string::npos);
  const std::size_t extra = little_endian(bytes, name - 2, 2);
  const std::size_t data = name + std::string("archive/data/0").size() + extra;
  EXPECT_EQ(data % 64, 0U);
  EXPECT_EQ(little_endian(bytes, data, 8), 1U);
  EXPECT_EQ(static_cast<std::int64_t>(little_endian(bytes, data + 40, 8)), -6);
  EXPECT_EQ(little_endian(bytes, name - 12, 4), 48U); // its size in the header
}

TEST(TorchFile, IsTheSameForTheSameTensors) {
  const test::TemporaryFolder folder;
  const IntegerTensor tensors[] = {{"a", {2}, {1, 2}}};
  write_torch_file(folder.path() / "x.pt", tensors);
  write_torch_file(folder.path() / "y.pt", tensors);
  EXPECT_EQ(base::read_file(folder.path() / "x.pt"), base::read_file(folder.path() / "y.pt"));
}

TEST(TorchFile, RefusesValuesThatDoNotFitTheShape) {
  const test::TemporaryFolder folder;
  const IntegerTensor tensors[] = {{"a", {2, 2}, {1, 2, 3}}};
  EXPECT_THROW(write_torch_file(folder.path() / "x.pt", tensors), base::InvalidArgument);
}

} // namespace
} // namespace tessera::checkpoint
