#include "tessera/profile/profiler.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/profile/slices.hpp"

namespace tessera::profile {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;

const TensorSpec kTile{{1, 1, 32, 64}, DataType::BFLOAT8_B, Layout::TILE, kDramInterleaved};

class ProfilerTest : public testing::Test {
 protected:
  ~ProfilerTest() override {
    if (attached_) profiler_.detach(*device_);
  }

  void attach() {
    profiler_.attach(*device_);
    attached_ = true;
  }
  Profile finish() {
    profiler_.detach(*device_);
    attached_ = false;
    return profiler_.profile();
  }

  /// An op of `units` units in `scope`, which reads a weight at `address`.
  void enqueue(std::string_view name, std::string scope = "", std::int64_t units = 1, std::int64_t address = 0,
               runtime::ProgramKind kind = runtime::ProgramKind::OP) {
    runtime::Program program{.name = name, .kind = kind, .scope = std::move(scope)};
    program.stages.push_back({units, [](const runtime::Unit&) {}});
    device_->queue().enqueue(std::move(program), [&] {
      return OpRecord{.inputs = {{"weight", kTile, address}}, .work = {.matmul_flops = 1000, .dram_read_bytes = 2176}};
    });
  }

  std::vector<std::string> names(const Profile& profile, const Track& track) const {
    std::vector<std::string> names;
    for (const Slice& slice : track.slices) names.emplace_back(profile.name_of(slice));
    return names;
  }

  std::shared_ptr<runtime::MeshDevice> device_ = runtime::MeshDevice::open({.threads = 2, .command_queues = 2});
  Profiler profiler_;
  bool attached_ = false;
};

TEST_F(ProfilerTest, KeepsEachProgramInOrderWithWhatItsRecordSays) {
  attach();
  enqueue("write_to_device", "", 1, 0, runtime::ProgramKind::WRITE);
  enqueue("linear", "layers.3.mlp");
  enqueue("add");
  const Profile profile = finish();
  const Track& queue = track_named(profile, "queue 0");
  EXPECT_THAT(names(profile, queue), ElementsAre("write_to_device", "linear", "add"));
  EXPECT_TRUE(is_in_order(queue));
  EXPECT_EQ(queue.slices[0].kind, SliceKind::WRITE);
  EXPECT_EQ(queue.slices[0].begin_ns, 0);
  EXPECT_EQ(queue.slices[1].kind, SliceKind::OP);
  EXPECT_GT(queue.slices[1].time_ns(), 0);
  const Operation& linear = profile.operations[queue.slices[1].operation];
  EXPECT_EQ(linear.scope, "layers.3.mlp");
  EXPECT_THAT(linear.inputs, ElementsAre("weight: " + to_string(kTile)));
  EXPECT_EQ(linear.work.matmul_flops, 1000);
  EXPECT_EQ(linear.work.dram_read_bytes, 2176);
  EXPECT_EQ(profile.dropped, 0);
}

TEST_F(ProfilerTest, PredictsTheCardOnATrackOfItsOwnWhenAsked) {
  attach();
  EXPECT_EQ(finish().tracks.size(), 0U);
  Profiler predicting(Profiler::kMaxEvents, true);
  predicting.attach(*device_);
  enqueue("write_to_device", "", 1, 0, runtime::ProgramKind::WRITE);
  enqueue("gelu", "layers.3.mlp");
  enqueue("add");
  predicting.detach(*device_);
  const Profile profile = predicting.profile();
  const Track& measured = track_named(profile, "queue 0");
  const Track& predicted = track_named(profile, "queue 0, predicted");
  EXPECT_EQ(predicted.kind, TrackKind::PREDICTED);
  EXPECT_THAT(names(profile, predicted), ElementsAre("gelu", "add"));
  EXPECT_TRUE(is_in_order(predicted));
  for (const Slice& slice : predicted.slices) {
    EXPECT_EQ(slice.kind, SliceKind::PREDICTED);
    EXPECT_GT(slice.time_ns(), 0);
  }
  EXPECT_EQ(predicted.slices[0].begin_ns, measured.slices[1].begin_ns);
  EXPECT_GE(predicted.slices[1].begin_ns, predicted.slices[0].end_ns);
}

TEST_F(ProfilerTest, OneOperationServesAllRunsThatSayTheSame) {
  attach();
  for (int i = 0; i < 3; ++i) enqueue("linear", "layers.0", 1, /*address=*/i * 4096);
  enqueue("linear", "layers.1");
  enqueue("matmul", "layers.1");
  const Profile profile = finish();
  const Track& queue = track_named(profile, "queue 0");
  ASSERT_EQ(queue.slices.size(), 5U);
  EXPECT_EQ(queue.slices[0].operation, queue.slices[2].operation);
  EXPECT_NE(queue.slices[0].operation, queue.slices[3].operation);
  EXPECT_NE(queue.slices[3].operation, queue.slices[4].operation);
  EXPECT_EQ(profile.operations.size(), 3U);
}

TEST_F(ProfilerTest, ShowsWhoWorkedAndForHowLong) {
  if (std::thread::hardware_concurrency() < 2) GTEST_SKIP() << "two hardware threads are needed";
  attach();
  std::atomic<int> arrived = 0;
  runtime::Program program{.name = "pair"};
  program.stages.push_back({2, [&arrived](const runtime::Unit&) {
                              ++arrived;
                              while (arrived < 2) std::this_thread::yield(); // so that two threads take part
                            }});
  device_->queue().enqueue(std::move(program), [] { return OpRecord{}; });
  enqueue("single");
  const Profile profile = finish();
  const Track& own = track_named(profile, "queue 0's thread");
  EXPECT_THAT(names(profile, own), ElementsAre("pair", "single"));
  const Slice& pair = track_named(profile, "queue 0").slices.at(0);
  const Slice& single = track_named(profile, "queue 0").slices.at(1);
  EXPECT_EQ(pair.threads, 2);
  EXPECT_EQ(single.threads, 1);
  EXPECT_EQ(single.work_ns, own.slices[1].time_ns());
  EXPECT_EQ(single.covered_ns, single.work_ns);
  EXPECT_GT(pair.work_ns, pair.covered_ns);
  EXPECT_LE(pair.covered_ns, pair.time_ns());
  std::int64_t worked = 0;
  for (const Track& track : profile.tracks) {
    if (track.kind != TrackKind::THREAD) continue;
    EXPECT_TRUE(is_in_order(track));
    for (const Slice& slice : track.slices) worked += profile.name_of(slice) == "pair" ? slice.time_ns() : 0;
  }
  EXPECT_EQ(worked, pair.work_ns);
}

TEST_F(ProfilerTest, AReplayEnclosesItsPrograms) {
  enqueue("linear");
  enqueue("add");
  device_->synchronize();
  const runtime::TraceId trace = device_->begin_trace_capture();
  enqueue("linear");
  enqueue("add");
  device_->end_trace_capture(trace);
  attach();
  for (int i = 0; i < 3; ++i) device_->execute_trace(trace, 0, false);
  const Profile profile = finish();
  const Track& queue = track_named(profile, "queue 0");
  ASSERT_THAT(names(profile, queue), ElementsAre("execute_trace", "linear", "add", "execute_trace", "linear", "add",
                                                 "execute_trace", "linear", "add"));
  EXPECT_TRUE(is_in_order(queue));
  for (std::size_t i = 0; i < queue.slices.size(); ++i) {
    EXPECT_EQ(queue.slices[i].kind, i % 3 == 0 ? SliceKind::REPLAY : SliceKind::OP);
    EXPECT_EQ(queue.slices[i].replay, queue.slices[0].replay + static_cast<std::int64_t>(i / 3));
  }
  EXPECT_GT(queue.slices[0].replay, 0);
}

TEST_F(ProfilerTest, ReplaysOfOneTraceShareTheirOperationsAndOthersHaveTheirOwn) {
  for (const char* name : {"linear", "add"}) enqueue(name);
  device_->synchronize();
  const auto capture = [&](std::vector<std::pair<const char*, const char*>> ops) {
    return runtime::Trace(device_, 0, [&] {
      for (const auto& [name, scope] : ops) enqueue(name, scope);
    });
  };
  const runtime::Trace first = capture({{"linear", "layers.0"}, {"linear", "layers.1"}});
  const runtime::Trace second = capture({{"add", "layers.0"}, {"linear", "layers.1"}, {"linear", "layers.0"}});
  attach();
  for (const runtime::Trace* trace : {&first, &second, &first, &second}) trace->execute(false);
  const Profile profile = finish();
  std::vector<std::string> seen;
  for (const Slice& slice : track_named(profile, "queue 0").slices) {
    const Operation& operation = profile.operations[slice.operation];
    if (slice.kind == SliceKind::OP) seen.push_back(operation.name + " " + operation.scope);
  }
  const std::vector<std::string> once{"linear layers.0", "linear layers.1", "add layers.0", "linear layers.1",
                                      "linear layers.0"};
  std::vector<std::string> twice = once;
  twice.insert(twice.end(), once.begin(), once.end());
  EXPECT_EQ(seen, twice);
  EXPECT_EQ(profile.operations.size(), 4U) << "three and execute_trace";
}

TEST_F(ProfilerTest, GivesEachQueueItsTrackAndShowsItsWaits) {
  attach();
  enqueue("linear");
  device_->wait_for_event(1, device_->record_event(0));
  {
    const runtime::QueueScope second(*device_, 1);
    enqueue("read_from_device", "", 1, 0, runtime::ProgramKind::READ);
  }
  const Profile profile = finish();
  EXPECT_THAT(names(profile, track_named(profile, "queue 0")), ElementsAre("linear"));
  const Track& second = track_named(profile, "queue 1");
  ASSERT_THAT(names(profile, second), ElementsAre("wait_for_event", "read_from_device"));
  EXPECT_EQ(second.slices[0].kind, SliceKind::WAIT);
  EXPECT_EQ(second.slices[1].kind, SliceKind::READ);
  EXPECT_GE(second.slices[1].begin_ns, track_named(profile, "queue 0").slices[0].end_ns);
  track_named(profile, "queue 1's thread");
}

TEST_F(ProfilerTest, CountsWhatComesWhenItIsFull) {
  Profiler small(6); // an op and its span are two events
  small.attach(*device_);
  for (int i = 0; i < 5; ++i) enqueue("add");
  small.detach(*device_);
  const Profile profile = small.profile();
  EXPECT_EQ(track_named(profile, "queue 0").slices.size(), 3U);
  EXPECT_EQ(track_named(profile, "queue 0's thread").slices.size(), 3U);
  EXPECT_EQ(profile.dropped, 4);
}

TEST_F(ProfilerTest, SeesNothingBeforeItIsAttachedOrAfterwards) {
  enqueue("before");
  attach();
  enqueue("seen");
  const Profile profile = finish();
  enqueue("after");
  device_->synchronize();
  EXPECT_THAT(names(profile, track_named(profile, "queue 0")), ElementsAre("seen"));
  EXPECT_THAT(names(profile, track_named(profiler_.profile(), "queue 0")), ElementsAre("seen"));
}

TEST_F(ProfilerTest, KeepsDevicesApart) {
  const auto other = runtime::MeshDevice::open({.threads = 1});
  attach();
  profiler_.attach(*other);
  enqueue("here");
  other->queue().enqueue({.name = "there", .stages = {{1, [](const runtime::Unit&) {}}}}, [] { return OpRecord{}; });
  profiler_.detach(*other);
  const Profile profile = finish();
  EXPECT_THAT(names(profile, track_named(profile, "device 0 queue 0")), ElementsAre("here"));
  EXPECT_THAT(names(profile, track_named(profile, "device 1 queue 0")), ElementsAre("there"));
}

TEST_F(ProfilerTest, StagesFollowEachOther) {
  attach();
  profiler_.begin_stage("prefill");
  enqueue("linear");
  device_->synchronize();
  profiler_.begin_stage("decode");
  enqueue("add");
  device_->synchronize();
  profiler_.end_stage();
  enqueue("copy");
  const Profile profile = finish();
  const Track& stages = track_named(profile, "stages");
  EXPECT_EQ(stages.kind, TrackKind::STAGES);
  EXPECT_THAT(names(profile, stages), ElementsAre("prefill", "decode"));
  EXPECT_TRUE(is_in_order(stages));
  const Profile decode = within_stage(profile, "decode");
  EXPECT_THAT(names(decode, track_named(decode, "queue 0")), ElementsAre("add"));
}

TEST(EmptyProfiler, HasNoTracks) {
  EXPECT_TRUE(Profiler().profile().tracks.empty());
}

} // namespace
} // namespace tessera::profile
