#include "tessera/runtime/submesh.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/runtime/mesh_device.hpp"

namespace tessera::runtime {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const TensorSpec kTile{{1, 1, 32, 32}, DataType::FLOAT32, Layout::TILE, kDramInterleaved};

auto refused(std::string_view text) {
  return ThrowsMessage<base::InvalidArgument>(HasSubstr(std::string(text)));
}

std::shared_ptr<MeshDevice> open_t3000(int queues = 1) { // 2 x 4
  return MeshDevice::open({.board = board("t3000"), .threads = 2, .command_queues = queues});
}

Program counting(std::vector<std::atomic<int>>& runs_of_chip) {
  return {.name = "count",
          .stages = {{3, [&](const Unit& unit) { ++runs_of_chip[static_cast<std::size_t>(unit.chip)]; }}}};
}

TEST(Submesh, IsAMeshOfItsOwn) {
  const auto parent = open_t3000(2);
  const auto submesh = parent->create_submesh(2, 2, 0, 1);
  EXPECT_EQ(submesh->chips(), 4);
  EXPECT_EQ(submesh->board().mesh_rows, 2);
  EXPECT_EQ(submesh->board().mesh_columns, 2);
  EXPECT_EQ(submesh->board().name, "t3000");
  EXPECT_EQ(submesh->name(), "t3000[0,1 2x2]");
  EXPECT_EQ(submesh->command_queues(), 2);
  std::vector<std::atomic<int>> runs(4);
  submesh->queue(1).enqueue(counting(runs), [] { return OpRecord{}; });
  submesh->synchronize();
  EXPECT_THAT(std::vector<int>(runs.begin(), runs.end()), Each(3));
}

TEST(Submesh, HasItsOwnMemoryAtTheSameAddresses) {
  const auto parent = open_t3000();
  const auto parts = parent->create_submeshes(1, 4);
  ASSERT_EQ(parts.size(), 2U);
  const auto first = parts[0]->allocate(kTile, "x");
  EXPECT_EQ(parts[1]->allocator(BufferType::DRAM).usage().used_bytes, 0);
  const auto second = parts[1]->allocate(kTile, "x");
  EXPECT_EQ(first->address(), second->address());
  EXPECT_NE(first->bytes().of(0), second->bytes().of(0));
  EXPECT_EQ(parent->allocator(BufferType::DRAM).usage().used_bytes, 0);
}

TEST(Submesh, EqualPartsComeInRowMajorOrder) {
  const auto parent = open_t3000();
  const auto parts = parent->create_submeshes(1, 2);
  std::vector<std::string> names;
  for (const auto& part : parts) names.push_back(part->name());
  EXPECT_EQ(names, (std::vector<std::string>{"t3000[0,0 1x2]", "t3000[0,2 1x2]", "t3000[1,0 1x2]", "t3000[1,2 1x2]"}));
  EXPECT_THAT([&] { parent->create_submeshes(1, 3); }, refused("received 1x3"));
  EXPECT_THAT([&] { parent->create_submeshes(0, 1); }, refused("received 0x1"));
}

TEST(Submesh, MayBeCutAgain) {
  const auto parts = open_t3000()->create_submeshes(1, 4); // which keep their parent
  const auto smaller = parts[1]->create_submesh(1, 1, 0, 3);
  EXPECT_EQ(smaller->name(), "t3000[1,0 1x4][0,3 1x1]");
  EXPECT_THAT([&] { parts[1]->allocate(kTile, "x"); }, refused("[allocate] t3000[1,0 1x4] is cut"));
}

TEST(Submesh, RefusesChipsThatAreNotThereOrTaken) {
  const auto parent = open_t3000();
  for (const MeshRegion& region : {MeshRegion{3, 1, 0, 0}, MeshRegion{1, 4, 0, 1}, MeshRegion{1, 1, 2, 0},
                                   MeshRegion{1, 1, -1, 0}, MeshRegion{0, 1, 0, 0}, MeshRegion{1, 1, 0, 4}}) {
    EXPECT_THAT([&] { parent->create_submesh(region.rows, region.columns, region.first_row, region.first_column); },
                refused("which is 2x4"));
  }
  auto taken = parent->create_submesh(2, 2, 0, 1);
  EXPECT_THAT([&] { parent->create_submesh(1, 2, 1, 0); }, refused("[1,0 1x2] and [0,1 2x2] overlap"));
  EXPECT_NO_THROW(parent->create_submesh(2, 1, 0, 0));
  EXPECT_NO_THROW(parent->create_submesh(1, 1, 1, 3));
  taken.reset();
  EXPECT_NO_THROW(parent->create_submesh(1, 2, 1, 0));
}

TEST(Submesh, ItsParentRestsWhileItLives) {
  const auto parent = open_t3000();
  std::vector<std::atomic<int>> runs(8);
  const auto enqueue = [&] { parent->queue().enqueue(counting(runs), [] { return OpRecord{}; }); };
  const Trace trace(parent, 0, [] {});
  auto submesh = parent->create_submesh(1, 1);
  EXPECT_THAT([&] { parent->allocate(kTile, "x"); }, refused("[allocate] t3000 is cut into 1 submeshes"));
  EXPECT_THAT(enqueue, refused("[count] t3000 is cut"));
  EXPECT_THAT([&] { trace.execute(true); }, refused("[execute_trace] t3000 is cut"));
  submesh.reset();
  EXPECT_NO_THROW(parent->allocate(kTile, "x"));
  enqueue();
  parent->synchronize();
  EXPECT_THAT(std::vector<int>(runs.begin(), runs.end()), Each(3));
}

TEST(Submesh, LivesAsLongAsItsTensors) {
  const auto parent = open_t3000();
  auto submesh = parent->create_submesh(1, 1);
  auto buffer = submesh->allocate(kTile, "x");
  submesh.reset();
  EXPECT_THAT([&] { parent->allocate(kTile, "y"); }, refused("is cut"));
  buffer.reset();
  EXPECT_NO_THROW(parent->allocate(kTile, "y"));
}

TEST(Submesh, IsNotCutFromAMeshThatHoldsTensors) {
  const auto parent =
      MeshDevice::open({.board = board("n300"), .threads = 1, .trace_region_size = 1 << 20}); // the region is no tensor
  auto buffer = parent->allocate({{1, 1, 32, 32}, DataType::FLOAT32, Layout::TILE, kL1Interleaved}, "layers.0.w");
  EXPECT_THAT([&] { parent->create_submesh(1, 1); }, refused("n300 holds layers.0.w"));
  buffer.reset();
  EXPECT_NO_THROW(parent->create_submesh(1, 1));
}

TEST(Submesh, TellsItsPlaceWhenItsMemoryIsFull) {
  const auto parent = MeshDevice::open({.board = board("n300"), .mode = RunMode::RECORD});
  const auto submesh = parent->create_submesh(1, 1, 0, 1);
  EXPECT_EQ(submesh->mode(), RunMode::RECORD);
  const TensorSpec huge{{1, 1, 131072, 65536}, DataType::BFLOAT16, Layout::TILE, kDramInterleaved};
  EXPECT_THAT([&] { submesh->allocate(huge, "x"); },
              ThrowsMessage<base::OutOfMemory>(AllOf(HasSubstr("n300[0,1 1x1]"), HasSubstr("DRAM"))));
}

TEST(Submesh, AllRunAtTheSameTime) {
  const auto parts = open_t3000()->create_submeshes(1, 1);
  std::vector<std::atomic<std::int64_t>> sums(parts.size());
  for (int round = 0; round < 50; ++round) {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      Program program{.name = "sum", .stages = {{17, [&sum = sums[i]](const Unit& unit) { sum += unit.index; }}}};
      parts[i]->queue().enqueue(std::move(program), [] { return OpRecord{}; });
    }
  }
  for (const auto& part : parts) part->synchronize();
  EXPECT_THAT(std::vector<std::int64_t>(sums.begin(), sums.end()), Each(50 * 17 * 8));
}

} // namespace
} // namespace tessera::runtime
