#include "tessera/bringup/l1_watch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tessera/bringup/advice.hpp"

namespace tessera::bringup {
namespace {

using runtime::MeshDevice;
using testing::HasSubstr;

class L1WatchTest : public testing::Test {
 protected:
  double room() const {
    const auto& layout = device_->allocator(BufferType::L1).layout();
    return static_cast<double>(layout.end - layout.begin);
  }
  Row judge(std::int64_t circular_buffer_bytes) const {
    const std::vector<MeshDevice*> devices{device_.get()};
    const L1Watch watch(devices);
    device_->note_l1({circular_buffer_bytes, 0, {}}, {.name = "linear", .scope = "layers.0.mlp"});
    Row row{.module = "layers.0.mlp"};
    watch.judge(row);
    return row;
  }

  std::shared_ptr<MeshDevice> device_ = MeshDevice::open({.mode = runtime::RunMode::RECORD});
};

TEST_F(L1WatchTest, AModuleWithRoomToSpareFits) {
  const Row row = judge(1000);
  ASSERT_EQ(row.figures.size(), 1U);
  EXPECT_EQ(row.figures[0].name, kL1Figure);
  EXPECT_EQ(row.figures[0].value, 1000);
  EXPECT_TRUE(row.passed);
  EXPECT_TRUE(row.notes.empty());
}

TEST_F(L1WatchTest, AModuleThatNearlyFillsL1SaysWhere) {
  const Row row = judge(static_cast<std::int64_t>(0.95 * room()));
  EXPECT_TRUE(row.passed);
  ASSERT_EQ(row.notes.size(), 1U);
  EXPECT_THAT(row.notes[0], HasSubstr("L1 is fullest in linear in layers.0.mlp"));
}

TEST_F(L1WatchTest, AModuleThatDoesNotFitFails) {
  const Row row = judge(static_cast<std::int64_t>(room()) + 1);
  EXPECT_FALSE(row.passed);
  EXPECT_THAT(advice_for(row, "accuracy"), HasSubstr("L1 is too small"));
}

TEST_F(L1WatchTest, WithoutDevicesNothingIsSaid) {
  Row row{.module = "layers.0.mlp"};
  const std::vector<MeshDevice*> none;
  L1Watch(none).judge(row);
  EXPECT_TRUE(row.figures.empty());
}

} // namespace
} // namespace tessera::bringup
