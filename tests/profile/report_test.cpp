#include "tessera/profile/report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tessera/base/error.hpp"
#include "tests/profile/slices.hpp"

namespace tessera::profile {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

/// One op of each kind of bound, two threads; memory gives 10 bytes/ns, products 100 FLOP/ns.
Profile one_of_each() {
  ProfileWriter writer;
  const auto linear = writer.operation(
      {.name = "linear", .inputs = {"weight: BFLOAT8_B [1, 1, 64, 96] TILE"}, .work = {.dram_read_bytes = 6000}});
  const auto matmul = writer.operation({.name = "matmul", .work = {.matmul_flops = 79'000, .vector_flops = 1'000}});
  const auto add = writer.operation({.name = "add"});
  const auto plus_one = writer.operation({.name = "plus_one"});
  const auto norm = writer.operation({.name = "rms_norm", .work = {.dram_read_bytes = 50, .dram_write_bytes = 50}});
  const auto cached = writer.operation({.name = "cached", .work = {.dram_read_bytes = 3'000}});
  const auto read = writer.operation({.name = "read_from_device"});
  const auto wait = writer.operation({.name = "wait_for_event"});
  const auto decode = writer.operation({.name = "decode"});
  writer.track(TrackKind::STAGES, "stages").slices = {{SliceKind::STAGE, decode, 0, 2'100}};
  writer.track(TrackKind::QUEUE, "queue 0").slices = {{SliceKind::OP, linear, 0, 1'000, 0, 2, 2'000, 1'000},
                                                      {SliceKind::OP, linear, 1'100, 2'100, 0, 2, 2'000, 1'000},
                                                      {SliceKind::OP, matmul, 2'100, 3'100, 0, 2, 2'000, 1'000},
                                                      {SliceKind::OP, add, 3'100, 3'300, 0, 1, 200, 200},
                                                      {SliceKind::OP, plus_one, 3'400, 3'500, 0, 2, 40, 20},
                                                      {SliceKind::OP, norm, 3'500, 3'700, 0, 2, 400, 200},
                                                      {SliceKind::OP, cached, 3'700, 3'800, 0, 2, 200, 100},
                                                      {SliceKind::READ, read, 4'000, 4'100, 0, 1, 100, 100},
                                                      {SliceKind::WAIT, wait, 4'100, 4'200}};
  writer.track(TrackKind::THREAD, "worker 1").slices = {{SliceKind::WORK, linear, 0, 1'050}};
  writer.profile.origin.threads = 2;
  writer.profile.origin.read_bytes_per_s = 10e9;
  writer.profile.origin.flop_per_s = 100e9;
  return writer.profile;
}

const OpRow& row_named(const Report& report, std::string_view name) {
  static const OpRow kNone;
  for (const OpRow& row : report.ops) {
    if (row.name == name) return row;
  }
  ADD_FAILURE() << "no row is named " << name;
  return kNone;
}

TEST(Report, AddsUpTheRunsOfAnOp) {
  const Report report = make_report(one_of_each());
  const OpRow& linear = report.ops.at(0); // most time first
  EXPECT_EQ(linear.name, "linear");
  EXPECT_EQ(linear.count, 2);
  EXPECT_EQ(linear.total_ns, 2'000);
  EXPECT_EQ(linear.mean_ns(), 1'000);
  EXPECT_DOUBLE_EQ(linear.share, 2'000.0 / 3'700.0); // of ops and transfers
  EXPECT_DOUBLE_EQ(linear.bytes_per_s, 6e9);
  EXPECT_DOUBLE_EQ(linear.read_share, 0.6);
  EXPECT_EQ(linear.weight_dtype, "BFLOAT8_B");
  EXPECT_DOUBLE_EQ(linear.threads, 2.0);
  const OpRow& matmul = row_named(report, "matmul");
  EXPECT_DOUBLE_EQ(matmul.flop_per_s, 80e9);
  EXPECT_DOUBLE_EQ(matmul.flop_share, 0.8);
  EXPECT_DOUBLE_EQ(row_named(report, "rms_norm").bytes_per_s, 0.5e9);
  EXPECT_EQ(row_named(report, "read_from_device").kind, SliceKind::READ);
  EXPECT_EQ(report.ops.size(), 7U) << "waits are no ops";
  double share = 0.0;
  for (const OpRow& row : report.ops) share += row.share;
  EXPECT_DOUBLE_EQ(share, 1.0);
}

TEST(Report, SaysWhatBoundsEachOp) {
  const Report report = make_report(one_of_each());
  EXPECT_EQ(row_named(report, "linear").bound, Bound::MEMORY);
  EXPECT_EQ(row_named(report, "matmul").bound, Bound::ARITHMETIC);
  EXPECT_EQ(row_named(report, "add").bound, Bound::THREADS);
  EXPECT_DOUBLE_EQ(row_named(report, "add").idle_share, 0.5);
  EXPECT_EQ(row_named(report, "plus_one").bound, Bound::HOST);
  EXPECT_DOUBLE_EQ(row_named(report, "plus_one").overhead_share, 0.8);
  EXPECT_EQ(row_named(report, "rms_norm").bound, Bound::KERNEL);
  EXPECT_EQ(row_named(report, "cached").bound, Bound::KERNEL) << "three times the memory's speed is a cache's";
}

TEST(Report, JudgesNoLimitThatItDoesNotKnow) {
  Profile profile = one_of_each();
  profile.origin.read_bytes_per_s = profile.origin.flop_per_s = 0.0;
  const Report report = make_report(profile);
  EXPECT_EQ(row_named(report, "linear").bound, Bound::UNKNOWN);
  EXPECT_EQ(row_named(report, "linear").read_share, 0.0);
  EXPECT_EQ(row_named(report, "matmul").bound, Bound::UNKNOWN);
  EXPECT_EQ(row_named(report, "add").bound, Bound::THREADS);
}

TEST(Report, TakesNothingForBoundByMemoryThatFitsTheCache) {
  Profile profile = one_of_each(); // its operations move 6000, 100 and 3000 bytes
  profile.origin.cache_bytes = 9'100;
  EXPECT_EQ(row_named(make_report(profile), "linear").bound, Bound::MEMORY);
  profile.origin.cache_bytes = 9'101;
  EXPECT_EQ(row_named(make_report(profile), "linear").bound, Bound::KERNEL);
  EXPECT_EQ(row_named(make_report(profile), "matmul").bound, Bound::ARITHMETIC);
}

TEST(Report, CountsTheWorkOfAllChips) {
  Profile profile = one_of_each();
  profile.origin.chips = 2;
  EXPECT_DOUBLE_EQ(row_named(make_report(profile), "linear").bytes_per_s, 12e9);
}

TEST(Report, DividesAQueuesTimeAmongWhatItDid) {
  const QueueRow queue = make_report(one_of_each()).queues.at(0);
  EXPECT_EQ(queue.elapsed_ns, 4'200);
  EXPECT_EQ(queue.op_ns, 3'600);
  EXPECT_EQ(queue.read_ns, 100);
  EXPECT_EQ(queue.write_ns, 0);
  EXPECT_EQ(queue.wait_ns, 100);
  EXPECT_EQ(queue.gap_ns, 400);
  EXPECT_EQ(queue.gaps, 3);
  EXPECT_EQ(queue.largest_gap.largest_ns, 200);
  EXPECT_EQ(queue.largest_gap.before, "cached");
  EXPECT_EQ(queue.largest_gap.after, "read_from_device");
  EXPECT_EQ(queue.replays, 0);
}

TEST(Report, PutsGapsBetweenTheSameTwoOpsTogether) {
  ProfileWriter writer;
  const auto a = writer.operation({.name = "a"});
  const auto b = writer.operation({.name = "b"});
  writer.track(TrackKind::QUEUE, "queue 0").slices = {{SliceKind::OP, a, 0, 10},
                                                      {SliceKind::OP, b, 13, 20},
                                                      {SliceKind::OP, a, 21, 30},
                                                      {SliceKind::OP, b, 35, 40},
                                                      {SliceKind::OP, a, 40, 50}};
  const std::vector<GapRow> gaps = make_report(writer.profile).gaps;
  ASSERT_EQ(gaps.size(), 2U);
  EXPECT_EQ(gaps[0].before, "a");
  EXPECT_EQ(gaps[0].after, "b");
  EXPECT_EQ(gaps[0].count, 2);
  EXPECT_EQ(gaps[0].total_ns, 8);
  EXPECT_EQ(gaps[0].largest_ns, 5);
  EXPECT_EQ(gaps[1].count, 1) << "no time between two ops is no gap";
}

TEST(Report, TellsGapsInsideReplaysFromThoseOutside) {
  ProfileWriter writer;
  const auto replay = writer.operation({.name = "execute_trace"});
  const auto op = writer.operation({.name = "op"});
  writer.track(TrackKind::QUEUE, "queue 0").slices = {
      {SliceKind::REPLAY, replay, 0, 45, 1},  {SliceKind::OP, op, 5, 20, 1},  {SliceKind::OP, op, 23, 40, 1},
      {SliceKind::REPLAY, replay, 60, 95, 2}, {SliceKind::OP, op, 70, 80, 2}, {SliceKind::OP, op, 81, 90, 2}};
  const QueueRow queue = make_report(writer.profile).queues.at(0);
  EXPECT_EQ(queue.replays, 2);
  EXPECT_EQ(queue.replay_ns, 80);
  EXPECT_EQ(queue.gap_ns, 3 + 30 + 1);
  EXPECT_EQ(queue.gap_in_replays_ns, 3 + 1);
  EXPECT_EQ(queue.elapsed_ns, 85);
}

TEST(Report, CountsThreadsAndStagesAgainstTheWholeTime) {
  const Report report = make_report(one_of_each());
  EXPECT_EQ(report.elapsed_ns, 4'200);
  EXPECT_EQ(report.threads.at(0).name, "worker 1");
  EXPECT_EQ(report.threads.at(0).time_ns, 1'050);
  EXPECT_DOUBLE_EQ(report.threads.at(0).share, 0.25);
  EXPECT_EQ(report.stages.at(0).name, "decode");
  EXPECT_DOUBLE_EQ(report.stages.at(0).share, 0.5);
}

TEST(Report, OfAPartCountsWhatBeginsThere) {
  const Profile profile = one_of_each();
  const Report window = make_report(between(profile, 1'000, 3'400));
  EXPECT_EQ(row_named(window, "linear").count, 1);
  EXPECT_EQ(window.ops.size(), 3U);
  EXPECT_EQ(window.queues.at(0).elapsed_ns, 2'200);
  const Report stage = make_report(within_stage(profile, "decode"));
  EXPECT_EQ(row_named(stage, "linear").count, 2);
  EXPECT_EQ(stage.ops.size(), 1U);
  EXPECT_THAT(
      [&] { within_stage(profile, "prefill"); },
      ::testing::ThrowsMessage<base::InvalidArgument>(::testing::AllOf(HasSubstr("decode"), HasSubstr("\"prefill\""))));
  EXPECT_THAT([&] { within_stage(Profile{}, "x"); },
              ::testing::ThrowsMessage<base::InvalidArgument>(HasSubstr("has none")));
}

TEST(Report, OfNothingIsEmpty) {
  const Report report = make_report(Profile{});
  EXPECT_TRUE(report.ops.empty());
  EXPECT_TRUE(report.queues.empty());
  EXPECT_THAT(to_table(report), HasSubstr("no programs ran"));
  EXPECT_EQ(to_json(report).at("ops").size(), 0U);
}

TEST(Report, PartsOfAQueueAddUpToTheWhole) {
  std::mt19937 random(1);
  const auto below = [&](std::uint32_t limit) { return static_cast<std::int64_t>(random() % limit); };
  constexpr SliceKind kKinds[] = {SliceKind::OP, SliceKind::WRITE, SliceKind::READ, SliceKind::WAIT};
  for (int round = 0; round < 100; ++round) {
    ProfileWriter writer;
    for (int i = 0; i < 5; ++i) writer.operation({.name = "op" + std::to_string(i)});
    Track& track = writer.track(TrackKind::QUEUE, "queue 0");
    std::int64_t now = below(100);
    for (std::int64_t count = 1 + below(50); count > 0; --count) {
      now += below(3) == 0 ? below(20) : 0;
      const std::int64_t end = now + below(30);
      track.slices.push_back({kKinds[below(4)], static_cast<std::uint32_t>(below(5)), now, end});
      now = end;
    }
    const Report report = make_report(writer.profile);
    const QueueRow& queue = report.queues.at(0);
    ASSERT_EQ(queue.op_ns + queue.write_ns + queue.read_ns + queue.wait_ns + queue.gap_ns, queue.elapsed_ns);
    double gaps = 0.0;
    for (const GapRow& gap : report.gaps) gaps += gap.total_ns;
    ASSERT_EQ(gaps, queue.gap_ns);
  }
}

TEST(ReportTable, HoldsARowForEachOpAndALineForEachQueue) {
  Profile profile = one_of_each();
  profile.origin.model = "demo";
  profile.dropped = 12;
  const std::string text = to_table(make_report(profile));
  EXPECT_THAT(text, HasSubstr("measured on this host"));
  EXPECT_THAT(text, HasSubstr("12 later events were dropped"));
  EXPECT_THAT(text, HasSubstr("memory reads 10.0 GB/s, products 100 GFLOP/s"));
  EXPECT_THAT(text, ::testing::ContainsRegex("linear +2 +0.002 +54.1 % +1.0 +6.0 +0.0 +2.0  memory\n"));
  EXPECT_THAT(text, HasSubstr("queue 0: 0.00 ms; ops 85.7 %, writes 0.0 %, reads 2.4 %, waits 2.4 %, gaps 9.5 %"));
  EXPECT_THAT(text, HasSubstr("3 gaps, the largest 0.2 us between cached and read_from_device"));
  EXPECT_THAT(text, HasSubstr("stages: decode"));
}

TEST(ReportJson, HasUnitsInTheKeys) {
  const nlohmann::json json = to_json(make_report(one_of_each()));
  const nlohmann::json& linear = json.at("ops").at(0);
  EXPECT_EQ(linear.at("name"), "linear");
  EXPECT_EQ(linear.at("count"), 2);
  EXPECT_EQ(linear.at("host_time_ns"), 2'000.0);
  EXPECT_EQ(linear.at("bytes_per_s"), 6e9);
  EXPECT_EQ(linear.at("bound_by"), "memory");
  EXPECT_EQ(json.at("queues").at(0).at("gaps_ns"), 400.0);
  EXPECT_EQ(json.at("gaps").size(), 3U);
  EXPECT_EQ(json.at("threads").size(), 1U);
  EXPECT_TRUE(json.at("advice").is_array());
}

} // namespace
} // namespace tessera::profile
