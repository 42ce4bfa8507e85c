#include "tessera/runtime/device_memory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <utility>

#include "tessera/base/error.hpp"

namespace tessera::runtime {
namespace {

TEST(DeviceMemory, MapsABankAddressByArithmetic) {
  const DeviceMemory memory(2, 12, 1 << 20);
  EXPECT_EQ(memory.at(4096) - memory.at(0), 12 * 4096);
  EXPECT_GE(memory.chip_stride(), 12 << 20);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.at(0)) % 4096, 0U);
}

TEST(DeviceMemory, IsZeroAtFirstAndWritableToTheLastByteOfEachChip) {
  const DeviceMemory memory(2, 3, 1 << 20);
  for (int chip = 0; chip < 2; ++chip) {
    std::byte* last = memory.at((1 << 20) - 1) + 2 + chip * memory.chip_stride();
    EXPECT_EQ(*last, std::byte{0});
    *last = std::byte{static_cast<unsigned char>(chip + 1)};
  }
  EXPECT_EQ(memory.at(0)[3 * (1 << 20) - 1], std::byte{1});
  EXPECT_EQ(memory.at(0)[memory.chip_stride() + 3 * (1 << 20) - 1], std::byte{2});
}

TEST(DeviceMemory, ReservesACardWithoutTakingItsMemory) {
  const DeviceMemory memory(1, 12, 1'071'821'792);
  memory.at(1'071'821'791)[11] = std::byte{7};
  EXPECT_EQ(memory.at(1'071'821'791)[11], std::byte{7});
}

TEST(DeviceMemory, DefaultIsNone) {
  const DeviceMemory none;
  EXPECT_EQ(none.at(4096), nullptr);
}

TEST(DeviceMemory, MovesWithItsContent) {
  DeviceMemory memory(1, 1, 4096);
  memory.at(10)[0] = std::byte{5};
  DeviceMemory moved(std::move(memory));
  EXPECT_EQ(moved.at(10)[0], std::byte{5});
  DeviceMemory assigned;
  assigned = std::move(moved);
  EXPECT_EQ(assigned.at(10)[0], std::byte{5});
}

TEST(DeviceMemory, SaysWhenTheAddressSpaceIsTooSmall) {
  EXPECT_THAT([] { DeviceMemory(1, 1, std::int64_t{1} << 60); },
              testing::ThrowsMessage<base::OutOfMemory>(
                  testing::AllOf(testing::HasSubstr("[open device]"), testing::HasSubstr("ulimit -v"))));
}

} // namespace
} // namespace tessera::runtime
