#include "tessera/profile/timeline.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tessera/base/error.hpp"
#include "tests/profile/slices.hpp"

namespace tessera::profile {
namespace {

using ::testing::HasSubstr;

std::size_t count(const std::string& text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

/// Whether each element that is opened is closed, in order, and no text holds a bare "<" or "&".
::testing::AssertionResult is_well_formed(const std::string& xml) {
  std::vector<std::string> open;
  for (std::size_t at = xml.find('<'); at != std::string::npos; at = xml.find('<', at + 1)) {
    const std::size_t end = xml.find('>', at);
    if (end == std::string::npos) return ::testing::AssertionFailure() << "a tag without an end at byte " << at;
    const std::string tag = xml.substr(at + 1, end - at - 1);
    if (tag.find('<') != std::string::npos) return ::testing::AssertionFailure() << "a bare < in: " << tag;
    if (tag.starts_with("/")) {
      if (open.empty() || open.back() != tag.substr(1)) return ::testing::AssertionFailure() << "unexpected <" << tag;
      open.pop_back();
    } else if (!tag.ends_with("/")) {
      open.push_back(tag.substr(0, tag.find(' ')));
    }
  }
  for (std::size_t at = xml.find('&'); at != std::string::npos; at = xml.find('&', at + 1)) {
    const std::string entity = xml.substr(at, 6);
    const bool known = entity.starts_with("&amp;") || entity.starts_with("&lt;") || entity.starts_with("&gt;") ||
                       entity.starts_with("&quot;");
    if (!known) return ::testing::AssertionFailure() << "a bare & in: " << entity;
  }
  if (!open.empty()) return ::testing::AssertionFailure() << open.back() << " is not closed";
  return ::testing::AssertionSuccess();
}

/// `replays` replays of 1000 ns, one each 1500 ns, of a linear and an add.
Profile replayed(int replays) {
  ProfileWriter writer;
  const auto replay = writer.operation({.name = "execute_trace"});
  const auto linear = writer.operation({.name = "linear", .scope = "layers.0"});
  const auto add = writer.operation({.name = "add"});
  Track& queue = writer.track(TrackKind::QUEUE, "queue 0");
  for (int i = 0; i < replays; ++i) {
    const std::int64_t begin = 1'500 * i;
    queue.slices.push_back({SliceKind::REPLAY, replay, begin, begin + 1'000, i + 1});
    queue.slices.push_back({SliceKind::OP, linear, begin + 100, begin + 700, i + 1});
    queue.slices.push_back({SliceKind::OP, add, begin + 800, begin + 1'000, i + 1});
  }
  writer.track(TrackKind::THREAD, "worker 1").slices = {{SliceKind::WORK, linear, 100, 400}};
  return writer.profile;
}

TEST(Timeline, DrawsEachSliceOfTheWindowOnItsTrack) {
  const std::string svg = to_svg(replayed(4), {0, 2'500});
  EXPECT_TRUE(is_well_formed(svg));
  EXPECT_EQ(count(svg, "<title>replay "), 2U);
  EXPECT_EQ(count(svg, "<title>linear in layers.0: 0.600 us"), 2U);
  EXPECT_EQ(count(svg, "<title>add: 0.200 us"), 2U);
  EXPECT_EQ(count(svg, "<title>linear in layers.0: 0.300 us"), 1U) << "the worker's";
  for (const char* track : {">queue 0, replays<", ">queue 0<", ">worker 1<"}) EXPECT_THAT(svg, HasSubstr(track));
  EXPECT_THAT(svg, HasSubstr("0.003 ms from 0.000 ms on")) << "2.5 us";
}

TEST(Timeline, PlacesSlicesByTheirTimes) {
  ProfileWriter writer;
  const auto op = writer.operation({.name = "op"});
  writer.track(TrackKind::QUEUE, "queue 0").slices = {{SliceKind::OP, op, 0, 510}, {SliceKind::OP, op, 765, 2'000}};
  const std::string svg = to_svg(writer.profile, {0, 1'020}); // a pixel for each nanosecond
  EXPECT_THAT(svg, HasSubstr("class=\"lane\" x=\"166\""));
  EXPECT_THAT(svg, HasSubstr("class=\"c0\" x=\"166.00\" y=\"44\" width=\"510.00\""));
  EXPECT_THAT(svg, HasSubstr("class=\"c0\" x=\"931.00\" y=\"44\" width=\"255.00\"")) << "cut at the window's end";
}

TEST(Timeline, ShowsTheLastThreeReplaysUnlessToldOtherwise) {
  const Profile profile = replayed(10);
  const Window window = last_part(profile);
  const std::string svg = to_svg(profile, window);
  EXPECT_EQ(count(svg, "<title>replay "), 3U);
  EXPECT_THAT(svg, HasSubstr("<title>replay 10"));
  EXPECT_EQ(count(to_svg(replayed(1), last_part(replayed(1))), "<title>replay "), 1U);
}

TEST(Timeline, ShowsTheLastTwentyMillisecondsWhereNothingIsReplayed) {
  ProfileWriter writer;
  const auto op = writer.operation({.name = "op"});
  Track& queue = writer.track(TrackKind::QUEUE, "queue 0");
  queue.slices = {{SliceKind::OP, op, 0, 5'000'000}};
  EXPECT_EQ(last_part(writer.profile).from_ns, 0);
  EXPECT_EQ(last_part(writer.profile).to_ns, 5'000'000);
  queue.slices.push_back({SliceKind::OP, op, 90'000'000, 100'000'000});
  EXPECT_EQ(last_part(writer.profile).from_ns, 80'000'000);
  EXPECT_EQ(last_part(writer.profile).to_ns, 100'000'000);
}

TEST(Timeline, GivesTheLongestOpsAColourAndALineInTheLegend) {
  ProfileWriter writer;
  Track queue{.kind = TrackKind::QUEUE, .name = "queue 0", .slices = {}};
  std::int64_t now = 0;
  for (int i = 0; i < 15; ++i) {
    const auto op = writer.operation({.name = "op" + std::to_string(i)});
    queue.slices.push_back({SliceKind::OP, op, now, now + 1'000 - i});
    now += 1'000;
  }
  writer.profile.tracks.push_back(queue);
  const std::string svg = to_svg(writer.profile, {0, now});
  EXPECT_EQ(count(svg, ">op11</text>"), 2U);
  EXPECT_EQ(count(svg, ">op12</text>"), 1U) << "on the slice alone";
  EXPECT_THAT(svg, HasSubstr(">other</text>"));
  EXPECT_EQ(count(svg, "class=\"c11\""), 2U) << "the slice and its line";
  EXPECT_EQ(count(svg, "class=\"other\""), 4U) << "three slices and their line";
}

TEST(Timeline, HasTicksAtRoundTimes) {
  const std::string svg = to_svg(replayed(4), {0, 4'000});
  for (const char* tick : {">0.0000 ms<", ">0.0005 ms<", ">0.0040 ms<"}) EXPECT_THAT(svg, HasSubstr(tick));
  ProfileWriter writer;
  const std::string seconds = to_svg(writer.profile, {0, 7'000'000'000});
  EXPECT_THAT(seconds, HasSubstr(">1000 ms<"));
}

TEST(Timeline, FollowsLightAndDark) {
  EXPECT_THAT(to_svg(replayed(1), {0, 1'000}), HasSubstr("@media (prefers-color-scheme: dark)"));
}

TEST(Timeline, EscapesWhatNamesHold) {
  ProfileWriter writer;
  const auto op = writer.operation({.name = "a<b>&\"c\"\x01", .scope = "</title>"});
  writer.track(TrackKind::QUEUE, "<queue>").slices = {{SliceKind::OP, op, 0, 100}};
  writer.profile.origin.model = "<&>";
  const std::string svg = to_svg(writer.profile, {0, 100});
  EXPECT_TRUE(is_well_formed(svg)) << svg;
  EXPECT_THAT(svg, HasSubstr("a&lt;b&gt;&amp;&quot;c&quot;?"));
}

TEST(Timeline, StaysSmallHoweverManySlicesThereAre) {
  ProfileWriter writer;
  const auto a = writer.operation({.name = "a"});
  const auto b = writer.operation({.name = "b"});
  Track& queue = writer.track(TrackKind::QUEUE, "queue 0");
  for (std::int64_t i = 0; i < 200'000; ++i) queue.slices.push_back({SliceKind::OP, i % 2 ? a : b, 10 * i, 10 * i + 9});
  const std::string svg = to_svg(writer.profile, {0, 2'000'000});
  EXPECT_LT(svg.size(), 1'000'000U);
  EXPECT_GT(count(svg, "class=\"c0\""), 1'000U) << "no long stretch is drawn as one";
}

TEST(Timeline, NeedsSomeTime) {
  EXPECT_THROW(to_svg(replayed(1), {100, 100}), base::InvalidArgument);
  EXPECT_THROW(to_svg(Profile{}, last_part(Profile{})), base::InvalidArgument);
}

} // namespace
} // namespace tessera::profile
