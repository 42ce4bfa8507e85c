#include "tessera/runtime/trace.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/runtime/mesh_device.hpp"
#include "tests/allocation_counter.hpp"
#include "tests/runtime/gate.hpp"

namespace tessera::runtime {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const TensorSpec kTile{{1, 1, 32, 32}, DataType::BFLOAT16, Layout::TILE, kDramInterleaved};
const TensorSpec kL1Tile{{1, 1, 32, 32}, DataType::BFLOAT16, Layout::TILE, kL1Interleaved};

class TraceTest : public testing::Test {
 protected:
  /// An op of the card that writes `output`, if any.
  void enqueue(std::string_view name, std::function<void()> body, const Buffer* output = nullptr,
               const TensorSpec& spec = kTile) {
    Program program{.name = name, .stages = {{1, [body = std::move(body)](const Unit&) { body(); }}}};
    program.key = std::hash<std::string_view>{}(name);
    program.scope = device->scope();
    device->queue().enqueue(std::move(program), [&] {
      OpRecord record;
      if (output != nullptr) record.outputs = {{"output", spec, output->address()}};
      return record;
    });
  }
  void run_once(std::string_view name) {
    enqueue(name, [] {});
    device->synchronize();
  }

  std::shared_ptr<MeshDevice> device = MeshDevice::open({.threads = 2});
};

TEST_F(TraceTest, FreezesOpsAndRunsThemAtEachReplayOnly) {
  run_once("add");
  int count = 0;
  const TraceId id = device->begin_trace_capture();
  for (int i = 0; i < 3; ++i) enqueue("add", [&count] { ++count; });
  device->end_trace_capture(id);
  device->synchronize();
  EXPECT_EQ(count, 0) << "a captured op ran";
  device->execute_trace(id);
  EXPECT_EQ(count, 3);
  for (int i = 0; i < 10; ++i) device->execute_trace(id, 0, false);
  device->synchronize();
  EXPECT_EQ(count, 33);
}

TEST_F(TraceTest, RunsInTheOrderOfTheQueue) {
  run_once("add");
  std::vector<int> order;
  const Trace trace(device, 0, [&] {
    enqueue("add", [&order] { order.push_back(1); });
    enqueue("add", [&order] { order.push_back(2); });
  });
  enqueue("add", [&order] { order.push_back(0); });
  trace.execute(false);
  enqueue("add", [&order] { order.push_back(3); });
  trace.execute(false);
  device->synchronize();
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3, 1, 2));
}

TEST_F(TraceTest, AReplayIsOneCommandAndAllocatesNothing) {
  run_once("add");
  std::atomic<int> count = 0;
  const Trace trace(device, 0, [&] {
    for (int i = 0; i < 200; ++i) enqueue("add", [&count] { ++count; });
  });
  for (int warm_up = 0; warm_up < 3; ++warm_up) trace.execute(true);
  const std::uint64_t commands = device->queue().submitted();
  const std::int64_t allocations = tests::allocations();
  for (int i = 0; i < 5; ++i) trace.execute(true);
  EXPECT_EQ(tests::allocations() - allocations, 0);
  EXPECT_EQ(device->queue().submitted() - commands, 5U);
  EXPECT_EQ(count, 8 * 200);
}

TEST_F(TraceTest, AnOpThatHasNotRunCannotBeCaptured) {
  const TraceId id = device->begin_trace_capture();
  EXPECT_THAT([&] { enqueue("mul", [] {}); },
              ThrowsMessage<base::InvalidArgument>(AllOf(HasSubstr("[mul]"), HasSubstr("run the step once"))));
  device->release_trace(id);
  run_once("mul");
}

TEST_F(TraceTest, NothingButOpsMayBeEnqueuedInACapture) {
  const TraceId id = device->begin_trace_capture();
  const auto refused = [](std::string_view what) {
    return ThrowsMessage<base::InvalidArgument>(
        AllOf(HasSubstr(fmt::format("[{}]", what)), HasSubstr("captures trace")));
  };
  EXPECT_THAT(
      [&] { device->queue().enqueue({.name = "from_host", .kind = ProgramKind::WRITE}, [] { return OpRecord{}; }); },
      refused("from_host"));
  EXPECT_THAT(
      [&] { device->queue().enqueue({.name = "to_host", .kind = ProgramKind::READ}, [] { return OpRecord{}; }); },
      refused("to_host"));
  EXPECT_THAT([&] { device->record_event(); }, refused("record_event"));
  EXPECT_THAT([&] { device->synchronize(); }, refused("synchronize"));
  EXPECT_THAT([&] { device->begin_trace_capture(); }, refused("begin_trace_capture"));
  EXPECT_THAT([&] { device->execute_trace(id); }, ThrowsMessage<base::InvalidArgument>(HasSubstr("still being")));
  device->end_trace_capture(id);
  EXPECT_NO_THROW(device->synchronize());
}

TEST_F(TraceTest, IdsThatAreNotTracesAreRefused) {
  const auto refused = ThrowsMessage<base::InvalidArgument>(HasSubstr("received 7"));
  EXPECT_THAT([&] { device->execute_trace(7); }, refused);
  EXPECT_THAT([&] { device->end_trace_capture(7); }, refused);
  EXPECT_THAT([&] { device->release_trace(7); }, refused);
  const TraceId id = device->begin_trace_capture();
  device->end_trace_capture(id);
  EXPECT_THAT([&] { device->end_trace_capture(id); }, ThrowsMessage<base::InvalidArgument>(HasSubstr("has ended")));
  device->release_trace(id);
  EXPECT_THROW(device->execute_trace(id), base::InvalidArgument);
}

TEST_F(TraceTest, MayBeReleasedWhileItsReplaysAreQueued) {
  run_once("add");
  Gate gate;
  int count = 0;
  const TraceId id = device->begin_trace_capture();
  enqueue("add", [&count] { ++count; });
  device->end_trace_capture(id);
  enqueue("add", [&gate] { gate.wait(); });
  for (int i = 0; i < 5; ++i) device->execute_trace(id, 0, false);
  device->release_trace(id);
  gate.open();
  device->synchronize();
  EXPECT_EQ(count, 5);
}

TEST_F(TraceTest, AnErrorInACaptureGivesItUp) {
  EXPECT_THROW(Trace(device, 0, [&] { enqueue("mul", [] {}); }), base::InvalidArgument);
  EXPECT_FALSE(device->queue().capturing());
  run_once("add");
}

TEST_F(TraceTest, AFailingOpEndsTheReplayAndNamesItself) {
  run_once("add");
  bool broken = true;
  int after = 0;
  const Scope scope(*device, "layers.3");
  const Trace trace(device, 0, [&] {
    enqueue("add", [&broken] {
      if (broken) throw base::InvalidArgument("no such page");
    });
    enqueue("add", [&after] { ++after; });
  });
  EXPECT_THAT([&] { trace.execute(true); },
              ThrowsMessage<base::DeviceError>(AllOf(HasSubstr("add in layers.3"), HasSubstr("no such page"))));
  EXPECT_EQ(after, 0);
  broken = false;
  trace.execute(true);
  EXPECT_EQ(after, 1);
}

TEST_F(TraceTest, ReportsABufferThatAReplayWouldOverwrite) {
  run_once("add");
  std::int64_t address = 0;
  const Trace trace(device, 0, [&] {
    const Scope scope(*device, "layers.0.mlp");
    const auto temporary = device->allocate(kTile, "add");
    address = temporary->address();
    enqueue(
        "add", [] {}, temporary.get());
  });
  trace.execute(true);
  const auto later = device->allocate(kTile, "my_tensor");
  ASSERT_EQ(later->address(), address) << "the case needs the same place";
  EXPECT_THAT([&] { trace.execute(true); },
              ThrowsMessage<base::DeviceError>(
                  AllOf(HasSubstr("my_tensor"), HasSubstr("add in layers.0.mlp"), HasSubstr("acknowledge"))));
  later->acknowledge_corruptible();
  EXPECT_NO_THROW(trace.execute(true));
}

TEST_F(TraceTest, ReportsItInL1AsWell) {
  run_once("add");
  const Trace trace(device, 0, [&] {
    const auto temporary = device->allocate(kL1Tile, "add");
    enqueue(
        "add", [] {}, temporary.get(), kL1Tile);
  });
  auto later = device->allocate(kL1Tile, "later");
  EXPECT_THAT([&] { trace.execute(true); }, ThrowsMessage<base::DeviceError>(HasSubstr("in L1")));
  later.reset();
  EXPECT_NO_THROW(trace.execute(true)) << "freed before the replay";
}

TEST_F(TraceTest, AShardIsWrittenOnEveryCoreInWhole) {
  run_once("add");
  const MemoryConfig three_tiles{TensorMemoryLayout::WIDTH_SHARDED, BufferType::L1, ShardSpec{1, 2, 32, 96}};
  const TensorSpec sharded{{1, 1, 32, 160}, DataType::BFLOAT16, Layout::TILE, three_tiles};
  const Trace trace(device, 0, [&] {
    const auto temporary = device->allocate(sharded, "add");
    enqueue(
        "add", [] {}, temporary.get(), sharded);
  });
  std::vector<std::shared_ptr<Buffer>> tiles;
  for (int i = 0; i < 4; ++i) tiles.push_back(device->allocate(kL1Tile, "later"));
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT([&] { trace.execute(true); }, ThrowsMessage<base::DeviceError>(HasSubstr("in L1"))) << i;
    tiles[static_cast<std::size_t>(i)].reset();
  }
  EXPECT_NO_THROW(trace.execute(true)) << "the fourth lies behind the shard";
}

TEST_F(TraceTest, BuffersFromBeforeTheCaptureAndElsewhereAreNoHazard) {
  run_once("add");
  const auto before = device->allocate(kTile, "before");
  std::shared_ptr<Buffer> kept;
  const Trace trace(device, 0, [&] {
    enqueue(
        "add", [] {}, before.get());
    kept = device->allocate(kTile, "output");
    enqueue(
        "add", [] {}, kept.get());
  });
  const auto elsewhere = device->allocate(kTile, "elsewhere");
  EXPECT_NO_THROW(trace.execute(true));
}

TEST(TraceRegion, TooSmallARegionSaysWhatIsNeeded) {
  const auto device = MeshDevice::open({.threads = 1, .trace_region_size = 100'000});
  EXPECT_GE(device->allocator(BufferType::DRAM).usage().used_by_kind[static_cast<std::size_t>(MemoryKind::TRACE)],
            100'000);
  const std::int64_t of_op = device->board().arch.trace_bytes_per_op;
  const auto capture = [&](int ops) {
    const TraceId id = device->begin_trace_capture();
    for (int i = 0; i < ops; ++i) device->queue().enqueue({.name = "op"}, [] { return OpRecord{}; });
    device->end_trace_capture(id);
    return id;
  };
  const TraceId first = capture(2);
  EXPECT_THAT([&] { capture(2); },
              ThrowsMessage<base::OutOfMemory>(HasSubstr(fmt::format("trace_region_size {}", 4 * of_op))));
  device->release_trace(first);
  EXPECT_NO_THROW(capture(3));
}

TEST(TraceRegion, WithoutARegionATraceTakesFreeDramFromTheFarEnd) {
  const auto device = MeshDevice::open({.threads = 1});
  const auto used = [&] {
    return device->allocator(BufferType::DRAM).usage().used_by_kind[static_cast<std::size_t>(MemoryKind::TRACE)];
  };
  const TraceId id = device->begin_trace_capture();
  device->queue().enqueue({.name = "op"}, [] { return OpRecord{}; });
  device->end_trace_capture(id);
  EXPECT_GE(used(), device->board().arch.trace_bytes_per_op);
  EXPECT_EQ(device->allocate(kTile, "first")->address(), 0);
  device->release_trace(id);
  EXPECT_EQ(used(), 0);
}

TEST_F(TraceTest, ObserversLearnOfEachProgramsTraceAndPlace) {
  struct Places : QueueObserver {
    void after(MeshDevice&, const OpRecord& record, const ProgramRun& run) override {
      seen.push_back(fmt::format("{} {} {}", record.name, run.trace, run.place));
    }
    std::vector<std::string> seen;
  } places;
  run_once("add");
  const auto capture = [&](int ops) {
    return Trace(device, 0, [&] {
      for (int i = 0; i < ops; ++i) enqueue("add", [] {});
    });
  };
  const Trace first = capture(2);
  const Trace second = capture(1);
  device->add_observer(places);
  first.execute(false);
  second.execute(false);
  enqueue("add", [] {});
  device->remove_observer(places);
  EXPECT_THAT(places.seen,
              ElementsAre("add 1 0", "add 1 1", "execute_trace 0 0", "add 2 0", "execute_trace 0 0", "add 0 0"));
}

TEST(TraceRecordMode, ShowsTheRecordsOfEachReplay) {
  struct Names : QueueObserver {
    void after(MeshDevice&, const OpRecord& record, const ProgramRun& run) override {
      seen.push_back(fmt::format("{} {}: {} {}", record.name, run.replay, run.trace, run.place));
    }
    std::vector<std::string> seen;
  } names;
  const auto device = MeshDevice::open({.mode = RunMode::RECORD});
  const Trace trace(device, 0, [&] { device->queue().enqueue({.name = "op"}, [] { return OpRecord{}; }); });
  device->add_observer(names);
  trace.execute(true);
  trace.execute(true);
  EXPECT_THAT(names.seen, ElementsAre("op 1: 1 0", "execute_trace 1: 0 0", "op 2: 1 0", "execute_trace 2: 0 0"));
}

} // namespace
} // namespace tessera::runtime
