#include "tessera/tokenizer/split.hpp"

#include <algorithm>
#include <utility>

namespace tessera::tokenizer {
namespace {

struct Segment {
  Range range;
  bool is_match;
};

// The text as a row of matches and what lies between them.
std::vector<Segment> segments_of(std::size_t size, std::span<const Range> matches, bool invert) {
  std::vector<Segment> out;
  std::size_t at = 0;
  for (const Range& match : matches) {
    if (match.begin > at) out.push_back({{at, match.begin}, invert});
    out.push_back({match, !invert});
    at = match.end;
  }
  if (at < size) out.push_back({{at, size}, invert});
  return out;
}

std::vector<Range> merge_runs(std::span<const Segment> segments) {
  std::vector<Range> out;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    if (i > 0 && segments[i].is_match == segments[i - 1].is_match) {
      out.back().end = segments[i].range.end;
    } else {
      out.push_back(segments[i].range);
    }
  }
  return out;
}

// A match joins the part before it unless that part is a match itself.
std::vector<Range> merge_with_previous(std::span<const Segment> segments) {
  std::vector<Range> out;
  bool after_match = false;
  for (const auto& [range, is_match] : segments) {
    if (is_match && !after_match && !out.empty()) {
      out.back().end = range.end;
    } else {
      out.push_back(range);
    }
    after_match = is_match;
  }
  return out;
}

std::vector<Range> merge_with_next(std::span<const Segment> segments) {
  std::vector<Range> out; // from the right
  bool before_match = false;
  for (auto segment = segments.rbegin(); segment != segments.rend(); ++segment) {
    if (segment->is_match && !before_match && !out.empty()) {
      out.back().begin = segment->range.begin;
    } else {
      out.push_back(segment->range);
    }
    before_match = segment->is_match;
  }
  std::reverse(out.begin(), out.end());
  return out;
}

} // namespace

SplitBehavior split_behavior(const JsonNode& node) {
  constexpr std::pair<std::string_view, SplitBehavior> kNames[] = {
      {"Removed", SplitBehavior::REMOVED},
      {"Isolated", SplitBehavior::ISOLATED},
      {"MergedWithPrevious", SplitBehavior::MERGED_WITH_PREVIOUS},
      {"MergedWithNext", SplitBehavior::MERGED_WITH_NEXT},
      {"Contiguous", SplitBehavior::CONTIGUOUS},
  };
  for (const auto& [name, behavior] : kNames) {
    if (node.string() == name) return behavior;
  }
  node.fail("one of Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous");
}

std::vector<Range> split(std::size_t size, std::span<const Range> matches, SplitBehavior behavior, bool invert) {
  const std::vector<Segment> segments = segments_of(size, matches, invert);
  std::vector<Range> parts;
  switch (behavior) {
    case SplitBehavior::CONTIGUOUS:
      parts = merge_runs(segments);
      break;
    case SplitBehavior::MERGED_WITH_PREVIOUS:
      parts = merge_with_previous(segments);
      break;
    case SplitBehavior::MERGED_WITH_NEXT:
      parts = merge_with_next(segments);
      break;
    case SplitBehavior::ISOLATED:
    case SplitBehavior::REMOVED:
      for (const auto& [range, is_match] : segments) {
        if (!is_match || behavior == SplitBehavior::ISOLATED) parts.push_back(range);
      }
  }
  std::erase_if(parts, [](const Range& part) { return part.begin == part.end; });
  return parts;
}

} // namespace tessera::tokenizer
