#include "tessera/profile/profile.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "tessera/base/error.hpp"

namespace tessera::profile {
namespace {

Profile select(const Profile& profile, const std::function<bool(const Slice&)>& wanted) {
  Profile part{.origin = profile.origin, .operations = profile.operations, .tracks = {}, .dropped = profile.dropped};
  for (const Track& track : profile.tracks) {
    Track& copy = part.tracks.emplace_back(Track{.kind = track.kind, .name = track.name, .slices = {}});
    std::copy_if(track.slices.begin(), track.slices.end(), std::back_inserter(copy.slices), wanted);
  }
  return part;
}

} // namespace

std::string_view to_string(SliceKind kind) {
  switch (kind) {
    case SliceKind::OP:
      return "op";
    case SliceKind::WRITE:
      return "write";
    case SliceKind::READ:
      return "read";
    case SliceKind::WAIT:
      return "wait";
    case SliceKind::REPLAY:
      return "replay";
    case SliceKind::WORK:
      return "work";
    case SliceKind::STAGE:
      return "stage";
    case SliceKind::PREDICTED:
      return "predicted";
  }
  return "?";
}

void Track::sort() {
  const auto place = [](const Slice& slice) { return std::pair(slice.begin_ns, slice.kind != SliceKind::REPLAY); };
  std::stable_sort(slices.begin(), slices.end(), [&](const Slice& a, const Slice& b) { return place(a) < place(b); });
}

std::int64_t Profile::end_ns() const {
  std::int64_t end = 0;
  for (const Track& track : tracks) {
    if (track.kind == TrackKind::PREDICTED) continue;
    for (const Slice& slice : track.slices) end = std::max(end, slice.end_ns);
  }
  return end;
}

Profile between(const Profile& profile, std::int64_t from_ns, std::int64_t to_ns) {
  return select(profile, [&](const Slice& slice) { return from_ns <= slice.begin_ns && slice.begin_ns < to_ns; });
}

Profile within_stage(const Profile& profile, std::string_view stage) {
  std::vector<std::pair<std::int64_t, std::int64_t>> times;
  std::vector<std::string_view> names;
  for (const Track& track : profile.tracks) {
    if (track.kind != TrackKind::STAGES) continue;
    for (const Slice& slice : track.slices) {
      if (profile.name_of(slice) == stage) times.emplace_back(slice.begin_ns, slice.end_ns);
      names.push_back(profile.name_of(slice));
    }
  }
  base::require(!times.empty(), "[profile] a stage of the profile is required: {}; received \"{}\"",
                names.empty() ? "it has none" : fmt::format("{}", fmt::join(names, ", ")), stage);
  return select(profile, [&](const Slice& slice) {
    return std::any_of(times.begin(), times.end(),
                       [&](const auto& time) { return time.first <= slice.begin_ns && slice.begin_ns < time.second; });
  });
}

} // namespace tessera::profile
