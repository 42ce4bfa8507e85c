#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <deque>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/runtime/mesh_device.hpp"
#include "tests/runtime/gate.hpp"

namespace tessera::runtime {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const auto kNoRecord = [] { return OpRecord{}; };
const TensorSpec kTile{{1, 1, 32, 32}, DataType::BFLOAT16, Layout::TILE, kDramInterleaved};

class TwoQueues : public testing::Test {
 protected:
  void enqueue(int queue, std::function<void()> body, std::string_view name = "op") {
    device->queue(queue).enqueue({.name = name, .stages = {{1, [body = std::move(body)](const Unit&) { body(); }}}},
                                 kNoRecord);
  }

  std::shared_ptr<MeshDevice> device = MeshDevice::open({.threads = 2, .command_queues = 2});
};

TEST_F(TwoQueues, RunBesideEachOther) {
  Gate gate;
  std::atomic<bool> other = false;
  enqueue(0, [&] { gate.wait(); });
  enqueue(1, [&] { other = true; });
  device->synchronize(1);
  EXPECT_TRUE(other);
  gate.open();
  device->synchronize();
}

TEST_F(TwoQueues, AWaitHoldsTheQueueUntilTheEventHasCome) {
  Gate gate;
  std::vector<int> order;
  enqueue(0, [&] { gate.wait(); });
  enqueue(0, [&] { order.push_back(0); });
  const Event event = device->record_event(0);
  device->wait_for_event(1, event);
  enqueue(1, [&] { order.push_back(1); });
  gate.await_entered();
  std::this_thread::sleep_for(std::chrono::milliseconds(2)); // time for queue 1 to run ahead, if it could
  gate.open();
  device->synchronize();
  EXPECT_THAT(order, ElementsAre(0, 1));
}

TEST_F(TwoQueues, AnEventCoversWhatWasQueuedBeforeItOnly) {
  Gate gate;
  int before = 0;
  enqueue(0, [&] { before = 1; });
  const Event event = device->record_event(0);
  enqueue(0, [&] { gate.wait(); });
  device->synchronize_event(event); // does not wait for the gate
  EXPECT_EQ(before, 1);
  gate.open();
  device->synchronize();
}

TEST_F(TwoQueues, AnEventThatCanNeverComeIsRefused) {
  EXPECT_THAT([&] { device->wait_for_event(1, Event{}); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("never recorded")));
  const auto another = MeshDevice::open({.threads = 1});
  const Event event = another->record_event();
  EXPECT_THAT([&] { device->wait_for_event(1, event); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("another device")));
  EXPECT_THAT([&] { device->queue(2); }, ThrowsMessage<base::InvalidArgument>(HasSubstr("0..1")));
  EXPECT_THAT([&] { another->wait_for_event(1, event); },
              ThrowsMessage<base::InvalidArgument>(HasSubstr("command_queues 2")));
}

TEST_F(TwoQueues, AWaitForWorkThatFailedFailsAndNamesEventAndQueue) {
  enqueue(
      0, [] { throw base::InvalidArgument("broken"); }, "linear");
  const Event event = device->record_event(0);
  device->wait_for_event(1, event);
  bool ran = false;
  enqueue(1, [&] { ran = true; });
  EXPECT_THAT([&] { device->synchronize(1); },
              ThrowsMessage<base::DeviceError>(
                  AllOf(HasSubstr("queue 1 waits for event 1 of queue 0"), HasSubstr("never come"))));
  EXPECT_FALSE(ran);
  EXPECT_THAT([&] { device->synchronize(0); },
              ThrowsMessage<base::DeviceError>(AllOf(HasSubstr("linear"), HasSubstr("broken"))));
  device->wait_for_event(1, device->record_event(0));
  enqueue(1, [&] { ran = true; });
  EXPECT_NO_THROW(device->synchronize());
  EXPECT_TRUE(ran);
}

TEST_F(TwoQueues, SynchronizeOfTheDeviceGivesTheFirstErrorAndLeavesBothUsable) {
  enqueue(
      0, [] { throw base::InvalidArgument("broken"); }, "linear");
  device->wait_for_event(1, device->record_event(0));
  EXPECT_THAT([&] { device->synchronize(); }, ThrowsMessage<base::DeviceError>(HasSubstr("broken")));
  EXPECT_NO_THROW(device->synchronize());
}

TEST_F(TwoQueues, MayBeDestroyedWhileOneWaitsForTheOther) {
  Gate gate;
  enqueue(0, [&] { gate.wait(); });
  enqueue(0, [] {});
  device->wait_for_event(1, device->record_event(0));
  enqueue(1, [] {});
  gate.await_entered();
  std::thread opener([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5)); // so that the destructor finds both at work
    gate.open();
  });
  device.reset();
  opener.join();
}

TEST_F(TwoQueues, MemoryFreedOnOneIsTheOthersOnlyAfterAnEvent) {
  const auto allocate = [&](int queue) {
    const QueueScope scope(*device, queue);
    auto buffer = device->allocate(kTile, "x");
    buffer->note_use();
    return buffer;
  };
  const std::int64_t first = allocate(0)->address(); // freed at once
  EXPECT_EQ(allocate(0)->address(), first) << "the same queue has it in its order";
  enqueue(0, [] {});
  allocate(0); // used by command 1
  EXPECT_NE(allocate(1)->address(), first);
  device->wait_for_event(1, device->record_event(0));
  EXPECT_EQ(allocate(1)->address(), first);
}

TEST_F(TwoQueues, MemoryIsAnybodysAfterSynchronize) {
  std::int64_t first = 0;
  {
    enqueue(0, [] {});
    const auto buffer = device->allocate(kTile, "x");
    buffer->note_use();
    first = buffer->address();
  }
  device->synchronize();
  const QueueScope scope(*device, 1);
  EXPECT_EQ(device->allocate(kTile, "y")->address(), first);
}

class TracedTwoQueues : public TwoQueues {
 protected:
  /// An op that writes `value` into a buffer that lives no longer than the capture.
  void capture(int queue, std::uint64_t value) {
    trace = runtime::Trace(device, queue, [&] {
      const auto buffer = device->allocate(kTile, "temporary");
      address = buffer->address();
      auto* data = data_at(address);
      OpRecord record;
      record.outputs = {{"output", kTile, address}};
      device->queue(queue).enqueue({.name = "op",
                                    .stages = {{1,
                                                [this, data, value](const Unit&) {
                                                  if (gate != nullptr) gate->wait();
                                                  *data = value;
                                                }}}},
                                   [&] { return record; });
    });
  }
  std::uint64_t* data_at(std::int64_t where) {
    return reinterpret_cast<std::uint64_t*>(device->memory(BufferType::DRAM).at(where));
  }

  Trace trace;
  std::int64_t address = 0;
  Gate* gate = nullptr;
};

TEST_F(TracedTwoQueues, WhatAReplayOnOneUsesIsTheOthersOnlyAfterAnEvent) {
  Gate held;
  gate = &held;
  capture(0, 7);
  trace.execute(false);
  {
    const QueueScope scope(*device, 1);
    EXPECT_NE(device->allocate(kTile, "x")->address(), address);
  }
  held.open();
  device->wait_for_event(1, device->record_event(0));
  {
    const QueueScope scope(*device, 1);
    EXPECT_EQ(device->allocate(kTile, "x")->address(), address);
  }
  device->synchronize(); // the replay looks at the gate, which ends here
}

TEST_F(TracedTwoQueues, AReleasedTracesReplaysStillCount) {
  Gate held;
  gate = &held;
  capture(0, 7);
  trace.execute(false);
  trace = {};
  {
    const QueueScope scope(*device, 1);
    EXPECT_NE(device->allocate(kTile, "x")->address(), address);
  }
  held.open();
  device->synchronize();
}

TEST_F(TracedTwoQueues, AReplayWaitsForWhatTheOtherQueueDoesWithItsMemory) {
  capture(0, 7);
  trace.execute(true);
  Gate held;
  std::uint64_t seen = 0;
  {
    const QueueScope scope(*device, 1);
    const auto buffer = device->allocate(kTile, "x");
    ASSERT_EQ(buffer->address(), address) << "the case needs the same place";
    buffer->note_use();
    enqueue(1, [&, data = data_at(address)] {
      *data = 8;
      held.wait();
      seen = *data;
    });
  }
  held.await_entered();
  trace.execute(false);
  std::this_thread::sleep_for(std::chrono::milliseconds(2)); // time for the replay to run ahead, if it could
  held.open();
  device->synchronize();
  EXPECT_EQ(seen, 8U);
  EXPECT_EQ(*data_at(address), 7U);
}

/// Random programs over two queues: ops that read and write cells and buffers of device memory, events, waits, replays.
/// Waits are put where two queues touch the same cell; buffers rely on the allocator alone. The oracle runs the same
/// ops one after another on the host.
class RandomPrograms {
 public:
  RandomPrograms(MeshDevice& device, std::uint32_t seed) : device_(device), random_(seed) {}

  void run() {
    const int commands = 5 + pick(40);
    for (int i = 0; i < commands; ++i) {
      switch (pick(8)) {
        case 0:
          events_[pick(2)].push_back(device_.record_event(pick(2)));
          break;
        case 1:
          wait_for_some_event();
          break;
        case 2:
          allocate(pick(2));
          break;
        case 3:
          if (!buffers_.empty()) buffers_.erase(buffers_.begin() + pick(static_cast<int>(buffers_.size())));
          break;
        case 4:
          if (pick(10) == 0) synchronize_one();
          break;
        default:
          op(pick(2));
      }
    }
    device_.synchronize();
    EXPECT_EQ(cells_, expected_);
    for (const Held& held : buffers_) EXPECT_EQ(*held.data, held.expected);
    EXPECT_EQ(wrong_, 0) << "an op found another value in its buffer than was put there";
  }

 private:
  static constexpr int kCells = 6;
  struct Held {
    std::shared_ptr<Buffer> buffer;
    int queue;
    std::uint64_t* data;
    std::uint64_t expected;
  };

  int pick(int below) { return std::uniform_int_distribution<int>(0, below - 1)(random_); }
  static std::uint64_t mix(std::uint64_t a, std::uint64_t b, std::uint64_t c) {
    return (a * 31 + b) * 0x9E3779B97F4A7C15U + c;
  }

  void enqueue(int queue, std::function<void()> body) {
    device_.queue(queue).enqueue({.name = "op", .stages = {{1, [body = std::move(body)](const Unit&) { body(); }}}},
                                 kNoRecord);
  }

  void wait_for_some_event() {
    const auto& events = events_[pick(2)];
    if (events.empty()) return;
    const Event& event = events[static_cast<std::size_t>(pick(static_cast<int>(events.size())))];
    const int queue = pick(2);
    device_.wait_for_event(queue, event);
    if (queue != event.queue) learn(queue, event.queue, event.number);
  }

  void learn(int queue, int other, std::uint64_t number) {
    known_[queue][other] = std::max(known_[queue][other], number);
  }

  void synchronize_one() {
    const int queue = pick(2);
    device_.synchronize(queue);
    learn(1 - queue, queue, device_.queue(queue).submitted());
  }

  /// Waits, where needed, for what the other queue did to a cell.
  void order(int queue, int cell) {
    const int other = 1 - queue;
    if (touched_[cell][other] <= known_[queue][other]) return;
    const Event event = device_.record_event(other);
    device_.wait_for_event(queue, event);
    learn(queue, other, event.number);
  }

  void op(int queue) {
    const int a = pick(kCells);
    const int b = pick(kCells);
    const int out = pick(kCells);
    for (const int cell : {a, b, out}) order(queue, cell);
    const std::uint64_t salt = random_();
    enqueue(queue, [this, a, b, out, salt] { cells_[out] = mix(cells_[a], cells_[b], salt); });
    expected_[out] = mix(expected_[a], expected_[b], salt);
    for (const int cell : {a, b, out}) touched_[cell][queue] = device_.queue(queue).submitted();
    if (!buffers_.empty() && pick(2) == 0)
      check(buffers_[static_cast<std::size_t>(pick(static_cast<int>(buffers_.size())))]);
  }

  /// A buffer is filled and read by its own queue.
  void allocate(int queue) {
    const QueueScope scope(device_, queue);
    auto buffer = device_.allocate(kTile, "buffer");
    buffer->note_use();
    auto* data = reinterpret_cast<std::uint64_t*>(device_.memory(BufferType::DRAM).at(buffer->address()));
    const std::uint64_t value = random_();
    enqueue(queue, [data, value] { *data = value; });
    buffers_.push_back({std::move(buffer), queue, data, value});
  }
  void check(const Held& held) {
    enqueue(held.queue, [this, data = held.data, expected = held.expected] { wrong_ += *data != expected; });
  }

  MeshDevice& device_;
  std::mt19937 random_;
  std::array<std::uint64_t, kCells> cells_{};
  std::array<std::uint64_t, kCells> expected_{};
  std::array<QueueMarks, kCells> touched_{};
  std::array<QueueMarks, 2> known_{};
  std::array<std::vector<Event>, 2> events_;
  std::vector<Held> buffers_;
  std::atomic<int> wrong_ = 0;
};

TEST_F(TwoQueues, RandomProgramsGiveWhatASerialOracleGives) {
  for (std::uint32_t seed = 0; seed < 10'000 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    RandomPrograms(*device, seed).run();
  }
}

} // namespace
} // namespace tessera::runtime
