#include "tessera/runtime/observer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/runtime/mesh_device.hpp"
#include "tests/runtime/gate.hpp"

namespace tessera::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const TensorSpec kSpec{{1, 4}, DataType::INT32, Layout::ROW_MAJOR, kDramInterleaved};

/// Writes down what it is told, with the first word of the output as it was at the time.
class Recorder : public QueueObserver {
 public:
  void before(MeshDevice& device, const OpRecord& record) override { note("before ", device, record); }
  void after(MeshDevice& device, const OpRecord& record, const ProgramRun& run) override {
    note("after ", device, record);
    time += run.time();
    thread = std::this_thread::get_id();
  }

  std::vector<std::string> events;
  std::vector<OpRecord> records;
  std::chrono::nanoseconds time{0};
  std::thread::id thread;

 private:
  void note(std::string_view moment, MeshDevice& device, const OpRecord& record) {
    std::string event = fmt::format("{}{}", moment, record.name);
    if (device.mode() == RunMode::EXECUTE && !record.outputs.empty()) {
      std::int32_t value = 0;
      std::memcpy(&value, device.memory(BufferType::DRAM).at(record.outputs[0].address), sizeof(value));
      event += fmt::format(" {}", value);
    }
    events.push_back(event);
    records.push_back(record);
  }
};

/// Enqueues an op that adds one to a buffer's first word.
void enqueue_increment(MeshDevice& device, const Buffer& buffer, std::string_view name, int* records_made = nullptr) {
  Program program{.name = name, .scope = device.scope()};
  program.stages.push_back({1, [at = device.memory(BufferType::DRAM).at(buffer.address())](const Unit&) {
                              std::int32_t value = 0;
                              std::memcpy(&value, at, sizeof(value));
                              ++value;
                              std::memcpy(at, &value, sizeof(value));
                            }});
  device.queue().enqueue(std::move(program), [&] {
    if (records_made != nullptr) ++*records_made;
    return OpRecord{.outputs = {{"output", kSpec, buffer.address()}}, .attributes = {{"answer", std::int64_t{42}}}};
  });
}

TEST(Observer, SeesEachProgramBeforeAndAfterWithItsOperandsLive) {
  const auto device = MeshDevice::open({.threads = 2});
  const auto buffer = device->allocate(kSpec, "counter");
  Recorder recorder;
  device->queue().add_observer(recorder);
  enqueue_increment(*device, *buffer, "first");
  enqueue_increment(*device, *buffer, "second");
  device->synchronize();
  device->queue().remove_observer(recorder);
  EXPECT_THAT(recorder.events, ElementsAre("before first 0", "after first 1", "before second 1", "after second 2"));
  EXPECT_GT(recorder.time.count(), 0);
  EXPECT_NE(recorder.thread, std::this_thread::get_id());
}

TEST(Observer, FindsOperandsLiveThoughTheHostHasFreedAndReusedTheirMemory) {
  const auto device = MeshDevice::open({.threads = 2});
  Recorder recorder;
  device->queue().add_observer(recorder);
  Gate gate;
  Program slow{.name = "slow"};
  slow.stages.push_back({1, [&gate](const Unit&) { gate.wait(); }});
  device->queue().enqueue(std::move(slow), [] { return OpRecord{}; });
  std::vector<std::int64_t> addresses;
  for (int i = 0; i < 3; ++i) {
    const auto buffer = device->allocate(kSpec, "temporary");
    addresses.push_back(buffer->address());
    enqueue_increment(*device, *buffer, "op");
  }
  EXPECT_THAT(addresses, ElementsAre(addresses[0], addresses[0], addresses[0]));
  gate.open();
  device->synchronize();
  device->queue().remove_observer(recorder);
  EXPECT_THAT(recorder.events, ElementsAre("before slow", "after slow", "before op 0", "after op 1", "before op 1",
                                           "after op 2", "before op 2", "after op 3"));
}

TEST(Observer, RecordsCarryNameScopeAndWhatTheOpSays) {
  const auto device = MeshDevice::open({.threads = 1});
  const auto buffer = device->allocate(kSpec, "counter");
  Recorder recorder;
  device->queue().add_observer(recorder);
  {
    const Scope layer(*device, "layers.3");
    const Scope attention(*device, "attention");
    enqueue_increment(*device, *buffer, "linear");
  }
  enqueue_increment(*device, *buffer, "add");
  device->synchronize();
  device->queue().remove_observer(recorder);
  ASSERT_EQ(recorder.records.size(), 4U);
  const OpRecord& record = recorder.records[1];
  EXPECT_EQ(record.name, "linear");
  EXPECT_EQ(record.scope, "layers.3.attention");
  EXPECT_EQ(record.outputs.at(0).spec, kSpec);
  EXPECT_EQ(record.outputs.at(0).address, buffer->address());
  EXPECT_EQ(std::get<std::int64_t>(record.attributes.at(0).second), 42);
  EXPECT_EQ(recorder.records[3].scope, "");
}

TEST(Observer, NoRecordIsMadeWhenNobodyObserves) {
  const auto device = MeshDevice::open({.threads = 1});
  const auto buffer = device->allocate(kSpec, "counter");
  int made = 0;
  enqueue_increment(*device, *buffer, "op", &made);
  EXPECT_EQ(made, 0);
  Recorder recorder;
  device->queue().add_observer(recorder);
  enqueue_increment(*device, *buffer, "op", &made);
  EXPECT_EQ(made, 1);
  device->queue().remove_observer(recorder);
  enqueue_increment(*device, *buffer, "op", &made);
  EXPECT_EQ(made, 1);
  device->synchronize();
  EXPECT_THAT(recorder.events, ElementsAre("before op 1", "after op 2"));
}

TEST(Observer, SeveralAreCalledInTheOrderOfAdding) {
  const auto device = MeshDevice::open({.threads = 1});
  const auto buffer = device->allocate(kSpec, "counter");
  Recorder first;
  Recorder second;
  device->queue().add_observer(first);
  device->queue().add_observer(second);
  enqueue_increment(*device, *buffer, "both");
  device->queue().remove_observer(first);
  enqueue_increment(*device, *buffer, "one");
  device->synchronize();
  device->queue().remove_observer(second);
  EXPECT_THAT(first.events, ElementsAre("before both 0", "after both 1"));
  EXPECT_THAT(second.events, ElementsAre("before both 0", "after both 1", "before one 1", "after one 2"));
}

TEST(Observer, WhatItThrowsSurfacesAtSynchronizeWithTheOp) {
  class Objector : public QueueObserver {
    void after(MeshDevice&, const OpRecord&, const ProgramRun&) override {
      throw base::InvalidArgument("PCC 0.5 is below 0.99");
    }
  } objector;
  const auto device = MeshDevice::open({.threads = 1});
  const auto buffer = device->allocate(kSpec, "counter");
  device->queue().add_observer(objector);
  enqueue_increment(*device, *buffer, "linear");
  EXPECT_THAT([&] { device->synchronize(); },
              ThrowsMessage<base::DeviceError>(testing::AllOf(HasSubstr("[linear]"), HasSubstr("PCC 0.5"))));
  device->queue().remove_observer(objector);
}

TEST(RecordMode, RunsNothingAndShowsTheRecordsAtOnce) {
  const auto device = MeshDevice::open({.mode = RunMode::RECORD});
  const auto buffer = device->allocate(kSpec, "counter");
  Recorder recorder;
  device->queue().add_observer(recorder);
  bool ran = false;
  Program program{.name = "linear", .scope = "layers.0"};
  program.stages.push_back({1, [&ran](const Unit&) { ran = true; }});
  device->queue().enqueue(std::move(program), [&] {
    return OpRecord{.outputs = {{"output", kSpec, buffer->address()}}};
  });
  EXPECT_THAT(recorder.events, ElementsAre("before linear", "after linear")); // without synchronize
  EXPECT_EQ(recorder.records.at(0).scope, "layers.0");
  EXPECT_EQ(recorder.thread, std::this_thread::get_id());
  EXPECT_EQ(recorder.time.count(), 0);
  device->synchronize();
  EXPECT_FALSE(ran);
}

} // namespace
} // namespace tessera::runtime
