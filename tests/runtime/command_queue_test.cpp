#include "tessera/runtime/command_queue.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/runtime/mesh_device.hpp"
#include "tests/runtime/gate.hpp"

namespace tessera::runtime {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const auto kNoRecord = [] { return OpRecord{}; };

Program program_of(std::function<void(const Unit&)> body, std::int64_t units = 1, std::string_view name = "test_op") {
  return {.name = name, .stages = {{units, std::move(body)}}};
}

class CommandQueueTest : public testing::Test {
 protected:
  std::shared_ptr<MeshDevice> device = MeshDevice::open({.threads = 2});
  CommandQueue& queue = device->queue();

  void enqueue(Program program) { queue.enqueue(std::move(program), kNoRecord); }
};

TEST_F(CommandQueueTest, RunsProgramsInOrder) {
  std::vector<int> order; // no lock: programs do not overlap
  for (int i = 0; i < 500; ++i) enqueue(program_of([&order, i](const Unit&) { order.push_back(i); }));
  queue.synchronize();
  std::vector<int> expected(500);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(order, expected);
}

TEST_F(CommandQueueTest, RunsEachUnitOfEachStageOnce) {
  std::vector<std::atomic<int>> first(100);
  std::vector<int> second(37, 0);
  std::atomic<int> early = 0;
  Program program{.name = "two_stages"};
  program.stages.push_back({100, [&](const Unit& unit) { ++first[static_cast<std::size_t>(unit.index)]; }});
  program.stages.push_back({37, [&](const Unit& unit) {
                              for (const auto& count : first) early += count != 1;
                              ++second[static_cast<std::size_t>(unit.index)];
                            }});
  enqueue(std::move(program));
  queue.synchronize();
  EXPECT_EQ(early, 0) << "a stage began before the one before it had ended";
  EXPECT_THAT(second, Each(1));
}

TEST_F(CommandQueueTest, ReturnsAtOnceAndTakesAThousandFurtherOpsWhileASlowKernelRuns) {
  Gate gate;
  std::atomic<int> done = 0;
  enqueue(program_of([&gate](const Unit&) { gate.wait(); }));
  gate.await_entered();
  for (int i = 0; i < 1000; ++i) enqueue(program_of([&done](const Unit&) { ++done; }));
  EXPECT_EQ(done, 0);
  gate.open();
  queue.synchronize();
  EXPECT_EQ(done, 1000);
}

TEST_F(CommandQueueTest, SynchronizeOfAnIdleQueueReturns) {
  queue.synchronize();
  enqueue(program_of([](const Unit&) {}));
  queue.synchronize();
  EXPECT_NO_THROW(queue.synchronize());
}

TEST_F(CommandQueueTest, ReleasesAProgramsDataWhenItHasRun) {
  auto data = std::make_shared<int>(5);
  const std::weak_ptr<int> watch = data;
  enqueue(program_of([data](const Unit&) {}));
  data.reset();
  queue.synchronize();
  EXPECT_TRUE(watch.expired());
}

TEST_F(CommandQueueTest, SynchronizeRethrowsTheFirstErrorWithOpAndScope) {
  Program failing = program_of([](const Unit&) { base::require(false, "positions must be below 4; received 7"); }, 1,
                               "paged_update_cache");
  failing.scope = "layers.3.attention";
  enqueue(std::move(failing));
  EXPECT_THAT([&] { queue.synchronize(); },
              ThrowsMessage<base::DeviceError>(AllOf(HasSubstr("[paged_update_cache in layers.3.attention]"),
                                                     HasSubstr("positions must be below 4; received 7"))));
}

TEST_F(CommandQueueTest, AnErrorWithoutScopeNamesTheOpAlone) {
  enqueue(program_of([](const Unit&) { throw std::runtime_error("boom"); }, 1, "linear"));
  EXPECT_THAT([&] { queue.synchronize(); }, ThrowsMessage<base::DeviceError>(HasSubstr("[linear] ")));
}

TEST_F(CommandQueueTest, AnyThrownThingIsAnError) {
  enqueue(program_of([](const Unit&) { throw 5; }, 1, "linear"));
  EXPECT_THAT([&] { queue.synchronize(); }, ThrowsMessage<base::DeviceError>(HasSubstr("[linear] ")));
}

TEST_F(CommandQueueTest, DropsWhatFollowsAnErrorAndWorksAgainAfterSynchronize) {
  Gate gate;
  std::atomic<int> done = 0;
  enqueue(program_of([&gate](const Unit&) {
    gate.wait();
    throw base::InvalidArgument("first");
  }));
  for (int i = 0; i < 10; ++i) enqueue(program_of([&done](const Unit&) { ++done; }));
  enqueue(program_of([](const Unit&) { throw base::InvalidArgument("second"); }));
  gate.open();
  EXPECT_THAT([&] { queue.synchronize(); }, ThrowsMessage<base::DeviceError>(HasSubstr("first")));
  EXPECT_EQ(done, 0);
  EXPECT_NO_THROW(queue.synchronize()); // an error is told once
  enqueue(program_of([&done](const Unit&) { ++done; }));
  queue.synchronize();
  EXPECT_EQ(done, 1);
}

TEST_F(CommandQueueTest, DropsWhatIsEnqueuedBetweenAnErrorAndSynchronize) {
  std::atomic<bool> failed = false;
  std::atomic<int> done = 0;
  enqueue(program_of([&failed](const Unit&) {
    failed = true;
    throw base::InvalidArgument("first");
  }));
  while (!failed) std::this_thread::yield();
  for (int i = 0; i < 100; ++i) enqueue(program_of([&done](const Unit&) { ++done; }));
  EXPECT_THROW(queue.synchronize(), base::DeviceError);
  EXPECT_EQ(done, 0);
}

TEST_F(CommandQueueTest, GivesAProgramAlignedScratchThatItsStagesShare) {
  std::vector<std::int64_t> seen(64, 0);
  std::atomic<int> misaligned = 0;
  Program program{.name = "scratch", .scratch_bytes = 64 * 8};
  program.stages.push_back({64, [&](const Unit& unit) {
                              misaligned += reinterpret_cast<std::uintptr_t>(unit.scratch) % 64 != 0;
                              reinterpret_cast<std::int64_t*>(unit.scratch)[unit.index] = unit.index + 1;
                            }});
  program.stages.push_back({64, [&](const Unit& unit) {
                              seen[static_cast<std::size_t>(unit.index)] =
                                  reinterpret_cast<std::int64_t*>(unit.scratch)[63 - unit.index];
                            }});
  enqueue(std::move(program));
  queue.synchronize();
  EXPECT_EQ(misaligned, 0);
  std::vector<std::int64_t> expected(64);
  for (std::size_t i = 0; i < 64; ++i) expected[i] = 64 - static_cast<std::int64_t>(i);
  EXPECT_EQ(seen, expected);
}

TEST(CommandQueueOfAMesh, RunsEveryUnitOnEveryChipWithItsOwnScratch) {
  const auto device = MeshDevice::open({.board = board("n300"), .threads = 2});
  std::vector<std::atomic<int>> counts(2 * 10);
  std::vector<int> wrong(2, 0);
  Program program{.name = "mesh", .scratch_bytes = 10 * 4};
  program.stages.push_back({10, [&](const Unit& unit) {
                              ++counts[static_cast<std::size_t>(unit.chip * 10 + unit.index)];
                              reinterpret_cast<std::int32_t*>(unit.scratch)[unit.index] =
                                  static_cast<std::int32_t>(unit.chip);
                            }});
  program.stages.push_back({1, [&](const Unit& unit) {
                              for (int i = 0; i < 10; ++i) {
                                wrong[static_cast<std::size_t>(unit.chip)] +=
                                    reinterpret_cast<std::int32_t*>(unit.scratch)[i] != unit.chip;
                              }
                            }});
  device->queue().enqueue(std::move(program), kNoRecord);
  device->synchronize();
  EXPECT_THAT(std::vector<int>(counts.begin(), counts.end()), Each(1));
  EXPECT_THAT(wrong, Each(0));
}

TEST(CommandQueueDestruction, EndsTheRunningProgramAndDropsTheRest) {
  auto device = MeshDevice::open({.threads = 2});
  Gate gate;
  std::atomic<bool> ended = false;
  std::atomic<int> dropped = 0;
  auto data = std::make_shared<int>(0);
  const std::weak_ptr<int> watch = data;
  device->queue().enqueue(program_of([&](const Unit&) {
                            gate.wait();
                            ended = true;
                          }),
                          kNoRecord);
  for (int i = 0; i < 100; ++i)
    device->queue().enqueue(program_of([&dropped, data](const Unit&) { ++dropped; }), kNoRecord);
  data.reset();
  gate.await_entered();
  std::thread opener([&gate] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20)); // so that the destructor finds it running
    gate.open();
  });
  device.reset();
  EXPECT_TRUE(ended);
  opener.join();
  EXPECT_LT(dropped, 100);
  EXPECT_TRUE(watch.expired());
}

TEST(CommandQueueDestruction, AnErrorThatNobodyAskedForIsLeftBehind) {
  auto device = MeshDevice::open({.threads = 1});
  device->queue().enqueue(program_of([](const Unit&) { throw base::InvalidArgument("unseen"); }), kNoRecord);
  EXPECT_NO_THROW(device.reset());
}

TEST(CommandQueueThreads, TwoDevicesShareThePoolWithoutMixing) {
  std::vector<std::shared_ptr<MeshDevice>> devices{MeshDevice::open({.threads = 2}), MeshDevice::open({.threads = 2})};
  std::vector<std::int64_t> sums(2, 0);
  for (int step = 0; step < 200; ++step) {
    for (std::size_t i = 0; i < 2; ++i) {
      auto total = std::make_shared<std::atomic<std::int64_t>>(0);
      Program program{.name = "sum"};
      program.stages.push_back({50, [total](const Unit& unit) { *total += unit.index; }});
      program.stages.push_back({1, [total, &sum = sums[i]](const Unit&) { sum += *total; }});
      devices[i]->queue().enqueue(std::move(program), kNoRecord);
    }
  }
  for (const auto& device : devices) device->synchronize();
  EXPECT_THAT(sums, Each(200 * (50 * 49 / 2)));
}

} // namespace
} // namespace tessera::runtime
