#include "tessera/runtime/mesh_device.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/base/thread_pool.hpp"

namespace tessera::runtime {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TensorSpec tiled(std::int64_t rows, std::int64_t columns, const MemoryConfig& place = kDramInterleaved) {
  return {{1, 1, rows, columns}, DataType::BFLOAT16, Layout::TILE, place};
}

TEST(MeshDevice, OpensAnN150ByDefault) {
  const auto device = MeshDevice::open();
  EXPECT_EQ(device->board().name, "n150");
  EXPECT_EQ(device->chips(), 1);
  EXPECT_EQ(device->mode(), RunMode::EXECUTE);
  EXPECT_EQ(device->queue().threads(), base::ThreadPool::shared().threads());
}

TEST(MeshDevice, HasTheChipsOfItsBoard) {
  for (const BoardSpec& board : boards()) {
    const auto device = MeshDevice::open({.board = board, .mode = RunMode::RECORD});
    EXPECT_EQ(device->chips(), board.chips());
    EXPECT_EQ(device->allocator(BufferType::DRAM).capacity_bytes(), board.arch.dram_bytes());
    EXPECT_EQ(device->allocator(BufferType::L1).capacity_bytes(), board.arch.l1_bytes());
  }
}

TEST(MeshDevice, RefusesWhatIsNotBuiltAndWhatIsImpossible) {
  EXPECT_THAT([] { MeshDevice::open({.threads = -1}); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("received -1")));
  const auto device = MeshDevice::open({.mode = RunMode::RECORD});
  const MemoryConfig sharded{TensorMemoryLayout::HEIGHT_SHARDED, BufferType::L1, ShardSpec{9, 1, 32, 32}};
  EXPECT_THAT([&] { device->allocate(tiled(32, 32, sharded), "x"); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("within the 8x8 worker cores")));
  EXPECT_THAT([&] { device->allocate(tiled(32, 32, kL1HeightSharded), "x"); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("a sharded layout and a ShardSpec come together")));
  EXPECT_THAT(
      [&] {
        device->allocate({{}, DataType::FLOAT32, Layout::TILE, {}}, "x");
      },
      ThrowsMessage<base::InvalidArgument>(HasSubstr("[tensor]")));
}

TEST(MeshDevice, DramGrowsFromTheBottomAndL1FromTheTop) {
  const auto device = MeshDevice::open({.mode = RunMode::RECORD});
  const ArchSpec& arch = device->board().arch;
  const auto dram = device->allocate(tiled(32, 32 * 13), "dram"); // 13 tiles over 12 banks: two a bank
  const auto more = device->allocate(tiled(32, 32), "more");
  EXPECT_EQ(dram->address(), 0);
  EXPECT_EQ(more->address(), 2 * 2048);
  const auto l1 = device->allocate(tiled(32, 32, kL1Interleaved), "l1");
  EXPECT_EQ(l1->address(), arch.l1_bytes_per_core - 2048);
  EXPECT_EQ(l1->type(), BufferType::L1);
  EXPECT_EQ(device->allocator(BufferType::L1).usage().used_bytes, 64 * 2048);
}

TEST(MeshDevice, AShardTakesItsBytesOfEveryCoreInLockStep) {
  const auto device = MeshDevice::open({.mode = RunMode::RECORD});
  const ArchSpec& arch = device->board().arch;
  const BankAllocator& l1 = device->allocator(BufferType::L1);
  const MemoryConfig width{TensorMemoryLayout::WIDTH_SHARDED, BufferType::L1, ShardSpec{2, 8, 32, 96}};
  const auto x = device->allocate(tiled(20, 1500, width), "x"); // 47 tiles on 16 cores, 3 each
  EXPECT_EQ(x->address(), arch.l1_bytes_per_core - 3 * 2048);
  EXPECT_EQ(l1.usage().used_bytes, 64 * 3 * 2048);
  const MemoryConfig height{TensorMemoryLayout::HEIGHT_SHARDED, BufferType::L1, ShardSpec{1, 4, 10, 50}};
  const TensorSpec rows{{1, 1, 40, 50}, DataType::BFLOAT16, Layout::ROW_MAJOR, height};
  const auto y = device->allocate(rows, "y"); // 10 rows a core, of 100 bytes in 112
  EXPECT_EQ(y->address(), x->address() - 10 * 112);
  const MemoryConfig banks{TensorMemoryLayout::WIDTH_SHARDED, BufferType::DRAM, ShardSpec{1, 12, 64, 64}};
  const auto w = device->allocate(tiled(64, 700, banks), "w");
  const auto after = device->allocate(tiled(32, 32), "after");
  EXPECT_EQ(after->address(), w->address() + 4 * 2048);
}

TEST(MeshDevice, SaysWhatAShardThatDoesNotFitNeeds) {
  const auto device = MeshDevice::open({.mode = RunMode::RECORD});
  const MemoryConfig one_core{TensorMemoryLayout::WIDTH_SHARDED, BufferType::L1, ShardSpec{1, 1, 32, 32 * 1024}};
  EXPECT_THAT([&] { device->allocate(tiled(32, 32 * 1024, one_core), "x"); },
              ThrowsMessage<base::OutOfMemory>(
                  AllOf(HasSubstr("[allocate]"), HasSubstr("over 64 banks, 2.1 MB a bank"), HasSubstr("L1"))));
}

TEST(MeshDevice, FreesABufferWithItsLastOwner) {
  const auto device = MeshDevice::open({.mode = RunMode::RECORD});
  auto buffer = device->allocate(tiled(32, 32), "x");
  auto other = buffer;
  buffer.reset();
  EXPECT_EQ(device->allocator(BufferType::DRAM).usage().used_bytes, 12 * 2048);
  other.reset();
  EXPECT_EQ(device->allocator(BufferType::DRAM).usage().used_bytes, 0);
}

TEST(MeshDevice, ABufferKeepsItsDevice) {
  auto device = MeshDevice::open({.threads = 1});
  auto buffer = device->allocate(tiled(32, 32), "x");
  const std::weak_ptr<MeshDevice> watch = device;
  device.reset();
  EXPECT_EQ(buffer->device().chips(), 1);
  buffer.reset();
  EXPECT_TRUE(watch.expired());
}

TEST(MeshDevice, CountsMemoryByKindAndNamesItByScope) {
  const auto device = MeshDevice::open({.mode = RunMode::RECORD});
  const Scope layer(*device, "layers.0");
  std::shared_ptr<Buffer> weight;
  {
    const MemoryKindScope weights(*device, MemoryKind::WEIGHTS);
    weight = device->allocate(tiled(32, 32), "w1");
    const MemoryKindScope caches(*device, MemoryKind::KV_CACHE);
    const auto cache = device->allocate(tiled(32, 32), "k_cache");
    EXPECT_EQ(device->allocator(BufferType::DRAM).usage().used_by_kind[1], 12 * 2048);
  }
  const auto activation = device->allocate(tiled(32, 32), "linear");
  EXPECT_THAT(device->allocator(BufferType::DRAM).usage().used_by_kind,
              testing::ElementsAre(12 * 2048, 0, 12 * 2048, 0, 0));
  const std::int64_t too_much = std::int64_t{1} << 20;
  EXPECT_THAT([&] { device->allocate(tiled(too_much, 8192), "w1"); },
              ThrowsMessage<base::OutOfMemory>(
                  AllOf(HasSubstr("for layers.0.w1 (activations)"), HasSubstr("n150"), HasSubstr("held by: weights"))));
}

TEST(Scope, NestsAndEnds) {
  const auto device = MeshDevice::open({.mode = RunMode::RECORD});
  EXPECT_EQ(device->scope(), "");
  {
    const Scope layer(*device, "layers.3");
    EXPECT_EQ(device->scope(), "layers.3");
    {
      const Scope attention(*device, "attention");
      EXPECT_EQ(device->scope(), "layers.3.attention");
    }
    EXPECT_EQ(device->scope(), "layers.3");
  }
  EXPECT_EQ(device->scope(), "");
}

TEST(RecordMode, GivesTheAddressesOfExecuteMode) {
  const auto addresses = [](RunMode mode) {
    const auto device = MeshDevice::open({.mode = mode, .threads = 1});
    std::vector<std::int64_t> result;
    std::vector<std::shared_ptr<Buffer>> held;
    std::mt19937 random(3);
    for (int i = 0; i < 200; ++i) {
      const MemoryConfig place = random() % 2 == 0 ? kDramInterleaved : kL1Interleaved;
      held.push_back(device->allocate(tiled(1 + random() % 200, 1 + random() % 200, place), "x"));
      result.push_back(held.back()->address());
      if (random() % 2 == 0) {
        std::swap(held[random() % held.size()], held.back());
        held.pop_back();
      }
    }
    return result;
  };
  EXPECT_EQ(addresses(RunMode::RECORD), addresses(RunMode::EXECUTE));
}

TEST(RecordMode, HoldsNoMemory) {
  const auto device = MeshDevice::open({.board = board("galaxy"), .mode = RunMode::RECORD});
  EXPECT_EQ(device->memory(BufferType::DRAM).at(0), nullptr);
  EXPECT_EQ(device->memory(BufferType::L1).at(0), nullptr);
}

} // namespace
} // namespace tessera::runtime
