#include "tessera/profile/trace_events.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tests/base/temporary_folder.hpp"
#include "tests/profile/slices.hpp"

namespace tessera::profile {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// A stage, a replay of a linear that two threads share, a read.
Profile small_profile() {
  ProfileWriter writer;
  const auto stage = writer.operation({.name = "decode"});
  const auto replay = writer.operation({.name = "execute_trace"});
  const auto linear = writer.operation(
      {.name = "linear",
       .scope = "layers.0.\"mlp\"\n\x01",
       .inputs = {"input_tensor_a: BFLOAT16 [1, 1, 1, 64]", "weight: BFLOAT8_B [64, 96]"},
       .outputs = {"output: BFLOAT16 [1, 1, 1, 96]"},
       .work = {.matmul_flops = 12288, .fidelity = MathFidelity::HiFi2, .dram_read_bytes = 6528, .l1_bytes = 10240}});
  const auto read = writer.operation({.name = "read_from_device"});
  writer.track(TrackKind::STAGES, "stages").slices = {{SliceKind::STAGE, stage, 0, 9'000'000'001}};
  writer.track(TrackKind::QUEUE, "queue 0").slices = {
      {SliceKind::REPLAY, replay, 1'000, 3'500, 7},
      {SliceKind::OP, linear, 1'234, 3'333, 7, 2, 3'000, 2'000},
      {SliceKind::READ, read, 9'000'000'000, 9'000'000'001, 0, 1, 1, 1}};
  writer.track(TrackKind::PREDICTED, "queue 0, predicted").slices = {{SliceKind::PREDICTED, linear, 1'234, 21'234, 7}};
  writer.track(TrackKind::THREAD, "queue 0's thread").slices = {{SliceKind::WORK, linear, 1'300, 3'300}};
  writer.track(TrackKind::THREAD, "worker 1").slices = {{SliceKind::WORK, linear, 1'300, 2'300}};
  writer.profile.origin = {.version = "0.1.0",
                           .command = "tessera generate demo --prompt \"a\\b\"",
                           .model = "demo",
                           .board = "n150",
                           .precision = "accuracy",
                           .numerics = "native",
                           .isa = "avx512",
                           .threads = 2,
                           .read_bytes_per_s = 45.1e9,
                           .flop_per_s = 1e12,
                           .cache_bytes = 32 << 20};
  writer.profile.dropped = 3;
  return writer.profile;
}

std::string text_of(const Profile& profile) {
  std::ostringstream out;
  write_trace_events(profile, out);
  return out.str();
}

TEST(TraceEvents, AreJsonOfATrackForEachQueueAndThread) {
  const auto json = nlohmann::json::parse(text_of(small_profile()));
  EXPECT_EQ(json.at("otherData").at("tool"), "tessera");
  EXPECT_EQ(json.at("otherData").at("threads"), 2);
  EXPECT_EQ(json.at("otherData").at("read_gb_per_s"), 45.1);
  EXPECT_EQ(json.at("otherData").at("dropped_events"), 3);
  std::map<int, std::string> processes;
  std::map<int, std::string> tracks;
  std::map<std::string, std::vector<std::string>> slices;
  for (const auto& event : json.at("traceEvents")) {
    if (event.at("name") == "process_name") processes[event.at("pid")] = event.at("args").at("name");
    if (event.at("name") == "thread_name") tracks[event.at("tid")] = event.at("args").at("name");
    if (event.at("ph") != "X") continue;
    slices[tracks.at(event.at("tid"))].push_back(event.at("name"));
    EXPECT_EQ(event.at("pid"), event.at("cat") == "predicted" ? 2 : 1); // never mixed
  }
  EXPECT_EQ(processes, (std::map<int, std::string>{{1, "host (measured)"}, {2, "card (predicted)"}}));
  EXPECT_THAT(slices["queue 0, predicted"], ElementsAre("linear"));
  EXPECT_THAT(slices["stages"], ElementsAre("decode"));
  EXPECT_THAT(slices["queue 0"], ElementsAre("execute_trace", "linear", "read_from_device"));
  EXPECT_THAT(slices["queue 0's thread"], ElementsAre("linear"));
  EXPECT_THAT(slices["worker 1"], ElementsAre("linear"));
}

TEST(TraceEvents, TellOfAnOpAllThatItsRecordSaid) {
  const auto json = nlohmann::json::parse(text_of(small_profile()));
  for (const auto& event : json.at("traceEvents")) {
    if (event.at("name") != "linear" || event.at("cat") != "op") continue;
    const auto& arguments = event.at("args");
    EXPECT_EQ(arguments.at("scope"), "layers.0.\"mlp\"\n\x01");
    EXPECT_EQ(arguments.at("inputs").at(1), "weight: BFLOAT8_B [64, 96]");
    EXPECT_EQ(arguments.at("matmul_flops"), 12288);
    EXPECT_EQ(arguments.at("math_fidelity"), "HiFi2");
    EXPECT_EQ(arguments.at("replay"), 7);
    EXPECT_EQ(arguments.at("threads"), 2);
    EXPECT_FALSE(arguments.contains("ethernet_bytes")) << "zeros are left out";
    return;
  }
  FAIL() << "no linear";
}

TEST(TraceEvents, HoldTimesInMicrosecondsToTheNanosecond) {
  const std::string text = text_of(small_profile());
  EXPECT_THAT(text, HasSubstr("\"ts\":1.234,\"dur\":2.099"));
  EXPECT_THAT(text, HasSubstr("\"ts\":9000000.000,\"dur\":0.001"));
}

TEST(TraceEvents, ReadBackAsTheyWereWritten) {
  const std::string text = text_of(small_profile());
  const Profile again = parse_trace_events(text, "again.json");
  EXPECT_EQ(text_of(again), text);
  const Track& queue = track_named(again, "queue 0");
  EXPECT_TRUE(is_in_order(queue));
  EXPECT_EQ(queue.slices.at(1).begin_ns, 1'234);
  EXPECT_EQ(queue.slices.at(1).end_ns, 3'333);
  EXPECT_EQ(queue.slices.at(1).work_ns, 3'000);
  EXPECT_EQ(queue.slices.at(1).covered_ns, 2'000);
  EXPECT_EQ(again.operations[queue.slices.at(1).operation].work.fidelity, MathFidelity::HiFi2);
}

TEST(TraceEvents, OfAnEmptyProfileAreReadable) {
  const Profile empty = parse_trace_events(text_of(Profile{}), "empty.json");
  EXPECT_TRUE(empty.tracks.empty());
  EXPECT_EQ(empty.origin.read_bytes_per_s, 0.0);
}

TEST(TraceEvents, GoToAFileWhole) {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "new" / "profile.json";
  write_trace_events(small_profile(), file);
  EXPECT_EQ(base::read_file(file), text_of(small_profile()));
  EXPECT_EQ(text_of(read_trace_events(file)), text_of(small_profile()));
  EXPECT_THROW(write_trace_events(small_profile(), folder.path()), base::IoError);
  EXPECT_THROW(read_trace_events(folder.path() / "absent.json"), base::IoError);
}

TEST(TraceEvents, OfOtherProcessesAndKindsArePassedOver) {
  const Profile profile = parse_trace_events(R"({"other": [[1], {"traceEvents": [5]}], "traceEvents": [
      {"ph": "X", "pid": 2, "tid": 1, "cat": "op", "name": "of the card", "ts": 0, "dur": 1},
      {"ph": "X", "pid": 1, "tid": 1, "cat": "predicted", "name": "of the host", "ts": 0, "dur": 1},
      {"ph": "X", "pid": 3, "tid": 1, "cat": "op", "name": "of another", "ts": 0, "dur": 1},
      {"ph": "i", "pid": 1, "tid": 1, "cat": "op", "name": "instant"},
      {"ph": "X", "pid": 1, "tid": 1, "cat": "toplevel", "name": "foreign", "ts": 0, "dur": 1},
      {"ph": "X", "pid": 1, "tid": 5, "cat": "op", "name": "add", "ts": 2.5, "dur": 1}]})",
                                             "mixed.json");
  ASSERT_EQ(profile.tracks.size(), 1U);
  EXPECT_EQ(profile.tracks[0].name, "track 5");
  EXPECT_EQ(profile.tracks[0].slices.at(0).begin_ns, 2500);
}

struct Damage {
  const char* name;
  std::string text;
  std::vector<const char*> said;
};

void PrintTo(const Damage& damage, std::ostream* stream) {
  *stream << damage.name;
}

std::string event_with(const std::string& fields) {
  return R"({"traceEvents": [{"ph": "X", "pid": 1, "tid": 1, "cat": "op", "name": "add", )" + fields + "}]}";
}

class Damaged : public testing::TestWithParam<Damage> {};

TEST_P(Damaged, IsRefusedNamingWhatIsWrong) {
  try {
    parse_trace_events(GetParam().text, "bad.json");
    FAIL() << "it was read";
  } catch (const base::IoError& error) {
    EXPECT_THAT(error.what(), HasSubstr("bad.json"));
    for (const char* part : GetParam().said) EXPECT_THAT(error.what(), HasSubstr(part));
    EXPECT_THAT(error.what(), ::testing::Not(HasSubstr("\n")));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Files, Damaged,
    testing::Values(
        Damage{"Empty", "", {"JSON"}}, Damage{"NotJson", "{\"traceEvents\": [", {"JSON"}},
        Damage{"Cut", text_of(small_profile()).substr(0, 900), {"JSON"}},
        Damage{"NoEvents", "{\"a\": 1}", {"traceEvents"}}, Damage{"AnArray", "[1, 2]", {"traceEvents"}},
        Damage{"EventsAreNoArray", "{\"traceEvents\": 5}", {"traceEvents"}},
        Damage{"AnEventIsNoObject", "{\"traceEvents\": [1]}", {"traceEvents[0]", "object", "1"}},
        Damage{"AnEventIsAnArray", "{\"traceEvents\": [[1]]}", {"traceEvents[0]", "object"}},
        Damage{"TheDataIsNoObject", "{\"otherData\": 5, \"traceEvents\": []}", {"otherData", "object"}},
        Damage{"ThreadsIsAText", R"({"otherData": {"threads": "2"}, "traceEvents": []})", {"otherData", "threads"}},
        Damage{"NoTime", event_with(R"("dur": 1)"), {"traceEvents[0]", "ts"}},
        Damage{"NoDuration", event_with(R"("ts": 1)"), {"traceEvents[0]", "dur"}},
        Damage{"TimeIsAText", event_with(R"("ts": "now", "dur": 1)"), {"ts", "now"}},
        Damage{"NegativeTime", event_with(R"("ts": -1, "dur": 1)"), {"ts", "-1"}},
        Damage{"HugeDuration", event_with(R"("ts": 0, "dur": 1e300)"), {"dur"}},
        Damage{"NumberBeyondAll", event_with(R"("ts": 1e999, "dur": 1)"), {"JSON"}},
        Damage{"ArgumentsAreNoObject", event_with(R"("ts": 0, "dur": 1, "args": [])"), {"args", "object"}},
        Damage{"FlopsAreNegative", event_with(R"("ts": 0, "dur": 1, "args": {"matmul_flops": -5})"), {"matmul_flops"}},
        Damage{"FlopsBeyondAnInteger",
               event_with(R"("ts": 0, "dur": 1, "args": {"matmul_flops": 18446744073709551615})"),
               {"matmul_flops"}},
        Damage{"UnknownFidelity", event_with(R"("ts": 0, "dur": 1, "args": {"math_fidelity": "HiFi9"})"), {"HiFi9"}},
        Damage{"InputsAreNumbers", event_with(R"("ts": 0, "dur": 1, "args": {"inputs": [1]})"), {"inputs"}},
        Damage{"TwoSortsOnATrack",
               R"({"traceEvents": [{"ph": "X", "pid": 1, "tid": 1, "cat": "op", "ts": 0, "dur": 1},
                                   {"ph": "X", "pid": 1, "tid": 1, "cat": "work", "ts": 1, "dur": 1}]})",
               {"traceEvents[1]", "work"}},
        Damage{"DeepNesting", "{\"traceEvents\": " + std::string(100'000, '['), {"16 levels"}},
        Damage{"ControlCharacters", event_with("\"ts\": \"\x01\xC3\xA4\", \"dur\": 1"), {}}),
    [](const auto& test) { return test.param.name; });

} // namespace
} // namespace tessera::profile
