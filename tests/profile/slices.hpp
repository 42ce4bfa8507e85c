#pragma once

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

#include "tessera/profile/profile.hpp"

namespace tessera::profile {

/// The track of this name; fails the test when there is none.
inline const Track& track_named(const Profile& profile, std::string_view name) {
  static const Track kNone;
  for (const Track& track : profile.tracks) {
    if (track.name == name) return track;
  }
  ADD_FAILURE() << "no track is named " << name;
  return kNone;
}

/// Whether each slice of a track begins when the one before has ended, except that a replay encloses the slices after
/// it, up to its end.
inline ::testing::AssertionResult is_in_order(const Track& track) {
  std::int64_t ended = 0;
  std::int64_t enclosing_end = 0;
  for (const Slice& slice : track.slices) {
    if (slice.end_ns < slice.begin_ns) return ::testing::AssertionFailure() << track.name << ": a slice of minus time";
    if (slice.begin_ns < ended) {
      return ::testing::AssertionFailure() << track.name << ": one begins at " << slice.begin_ns << " before " << ended;
    }
    if (slice.kind == SliceKind::REPLAY) {
      if (slice.begin_ns < enclosing_end) return ::testing::AssertionFailure() << track.name << ": replays overlap";
      ended = slice.begin_ns;
      enclosing_end = slice.end_ns;
      continue;
    }
    const bool inside = slice.begin_ns < enclosing_end;
    if (inside && slice.end_ns > enclosing_end) {
      return ::testing::AssertionFailure()
             << track.name << ": one ends at " << slice.end_ns << ", its replay at " << enclosing_end;
    }
    ended = slice.end_ns;
  }
  return ::testing::AssertionSuccess();
}

/// A profile written by hand: slices by name, times in nanoseconds.
class ProfileWriter {
 public:
  std::uint32_t operation(Operation operation) {
    profile.operations.push_back(std::move(operation));
    return static_cast<std::uint32_t>(profile.operations.size() - 1);
  }
  Track& track(TrackKind kind, std::string name) {
    return profile.tracks.emplace_back(Track{.kind = kind, .name = std::move(name), .slices = {}});
  }

  Profile profile;
};

} // namespace tessera::profile
