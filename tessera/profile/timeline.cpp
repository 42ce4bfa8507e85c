#include "tessera/profile/timeline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <utility>

#include "tessera/base/error.hpp"

namespace tessera::profile {
namespace {

constexpr double kNsPerMs = 1e6;
constexpr double kNsPerUs = 1e3;
constexpr std::int64_t kLastNs = 20'000'000;
constexpr std::size_t kLastReplays = 3;

// Pixels.
constexpr double kLabels = 150.0; // names of the tracks, on the left
constexpr double kPlot = 1020.0;
constexpr double kMargin = 16.0;
constexpr double kHeading = 44.0;
constexpr double kLane = 24.0;
constexpr double kThinLane = 16.0;
constexpr double kBetween = 6.0;
constexpr double kLegendRow = 18.0;
constexpr int kLegendColumns = 4;
// Slices that share this width are drawn as one, which bounds the size of the picture.
constexpr double kThinnest = 0.3;
constexpr double kCharacter = 6.0; // of a slice's name
constexpr double kMostTicks = 10.0;

constexpr std::size_t kColours = 12; // classes c0 to c11; what comes later is "other"
constexpr std::string_view kStyle = R"(
  svg { --ink: #1f2328; --faint: #6a737d; --lane: #eceff2; --grid: #d5dbe1; --paper: #ffffff; }
  @media (prefers-color-scheme: dark) {
    svg { --ink: #e6edf3; --faint: #9aa4af; --lane: #21262d; --grid: #363c44; --paper: #0d1117; }
  }
  .paper { fill: var(--paper); } .lane { fill: var(--lane); } .grid { stroke: var(--grid); }
  text { font: 12px sans-serif; fill: var(--ink); } .faint { fill: var(--faint); }
  .in { font-size: 10px; fill: #14181d; pointer-events: none; }
  .replay { fill: none; stroke: var(--faint); } .wait { fill: none; stroke: var(--faint); stroke-dasharray: 2 2; }
  .stage { fill: var(--grid); }
  .c0 { fill: #6ba3d6; } .c1 { fill: #f3a35c; } .c2 { fill: #e98080; } .c3 { fill: #7cc4bd; }
  .c4 { fill: #79bd6f; } .c5 { fill: #e6c84f; } .c6 { fill: #c493bb; } .c7 { fill: #ff9da7; }
  .c8 { fill: #b79380; } .c9 { fill: #9b93e0; } .c10 { fill: #58b8d8; } .c11 { fill: #b5c957; }
  .other { fill: #9aa3ad; }
)";

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      default:
        safe += static_cast<unsigned char>(c) < ' ' ? '?' : c;
    }
  }
  return safe;
}

/// 1, 2 or 5 times a power of ten: the smallest step that gives at most kMostTicks.
double tick_step(double range) {
  const double power = std::pow(10.0, std::floor(std::log10(range / kMostTicks)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (range / (factor * power) <= kMostTicks) return factor * power;
  }
  return 10.0 * power;
}

bool overlaps(const Slice& slice, Window window) {
  return slice.begin_ns < window.to_ns && slice.end_ns > window.from_ns;
}

/// Ops by their time in the window; the longest have a colour each.
class Colours {
 public:
  Colours(const Profile& profile, Window window) {
    std::map<std::string_view, std::int64_t> times;
    for (const Track& track : profile.tracks) {
      if (track.kind != TrackKind::QUEUE) continue;
      for (const Slice& slice : track.slices) {
        const bool coloured = slice.kind != SliceKind::REPLAY && slice.kind != SliceKind::WAIT;
        if (coloured && overlaps(slice, window)) times[profile.name_of(slice)] += slice.time_ns();
      }
    }
    names_.assign(times.begin(), times.end());
    std::stable_sort(names_.begin(), names_.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    for (std::size_t i = 0; i < std::min(names_.size(), kColours); ++i) numbers_[names_[i].first] = i;
  }

  std::string class_of(std::string_view name) const {
    const auto found = numbers_.find(name);
    return found == numbers_.end() ? "other" : fmt::format("c{}", found->second);
  }
  /// Names with colours, and "other" when there are more.
  std::vector<std::string> legend() const {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < std::min(names_.size(), kColours); ++i) names.emplace_back(names_[i].first);
    if (names_.size() > kColours) names.emplace_back("other");
    return names;
  }

 private:
  std::vector<std::pair<std::string_view, std::int64_t>> names_; // most time first
  std::map<std::string_view, std::size_t> numbers_;
};

class Picture {
 public:
  Picture(const Profile& profile, Window window) : profile_(profile), window_(window), colours_(profile, window) {}

  std::string draw() {
    const double top = kHeading;
    double y = top;
    for (const Track& track : profile_.tracks) y += draw_track(track, y);
    draw_axis(top, y);
    y += kLegendRow + kBetween;
    y = draw_legend(y);
    const double width = kLabels + kPlot + 2 * kMargin;
    const std::string title = heading();
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:g} {1:g}\" width=\"{0:g}\" height=\"{1:g}\" "
        "role=\"img\">\n<title>{2}</title>\n<style>{3}</style>\n<rect class=\"paper\" width=\"{0:g}\" "
        "height=\"{1:g}\"/>\n<text x=\"{4:g}\" y=\"24\">{2}</text>\n{5}{6}</svg>\n",
        width, std::ceil(y + kMargin), title, kStyle, kMargin, back_, front_);
  }

 private:
  template <typename... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(front_), format, std::forward<Args>(args)...);
  }
  template <typename... Args>
  void add_behind(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(back_), format, std::forward<Args>(args)...);
  }

  std::string heading() const {
    const Origin& origin = profile_.origin;
    const bool predicts =
        std::ranges::any_of(profile_.tracks, [](const Track& track) { return track.kind == TrackKind::PREDICTED; });
    return escaped(fmt::format("{}{} ms from {} ms on; measured on this host, {} threads{}",
                               origin.model.empty() ? "" : fmt::format("{} in {}: ", origin.model, origin.precision),
                               in_ms(window_.to_ns - window_.from_ns), in_ms(window_.from_ns), origin.threads,
                               predicts ? "; \"predicted\": of the card" : ""));
  }
  static std::string in_ms(std::int64_t ns) { return fmt::format("{:.3f}", static_cast<double>(ns) / kNsPerMs); }

  double x_of(std::int64_t ns) const {
    const std::int64_t inside = std::clamp(ns, window_.from_ns, window_.to_ns);
    return kMargin + kLabels +
           kPlot * static_cast<double>(inside - window_.from_ns) / static_cast<double>(window_.to_ns - window_.from_ns);
  }

  /// The height that the track takes: none when it is empty.
  double draw_track(const Track& track, double y) {
    std::vector<const Slice*> enclosing;
    std::vector<const Slice*> programs;
    for (const Slice& slice : track.slices) {
      if (!overlaps(slice, window_)) continue;
      const bool encloses = slice.kind == SliceKind::REPLAY || slice.kind == SliceKind::STAGE;
      (encloses ? enclosing : programs).push_back(&slice);
    }
    if (track.slices.empty()) return 0.0;
    double height = 0.0;
    if (!enclosing.empty()) {
      const std::string name = track.kind == TrackKind::STAGES ? track.name : track.name + ", replays";
      height += draw_lane(name, enclosing, y, kThinLane);
    }
    if (track.kind == TrackKind::STAGES) return height;
    return height + draw_lane(track.name, programs, y + height, track.kind == TrackKind::QUEUE ? kLane : kThinLane);
  }

  double draw_lane(const std::string& name, const std::vector<const Slice*>& slices, double y, double height) {
    add("<text x=\"{:g}\" y=\"{:g}\">{}</text>\n", kMargin, y + height / 2 + 4, escaped(name));
    add_behind("<rect class=\"lane\" x=\"{:g}\" y=\"{:g}\" width=\"{:g}\" height=\"{:g}\"/>\n", kMargin + kLabels, y,
               kPlot, height);
    double drawn_to = 0.0;
    for (std::size_t i = 0; i < slices.size();) {
      const Slice* longest = slices[i];
      const double begin = std::max(x_of(longest->begin_ns), drawn_to);
      double end = x_of(longest->end_ns);
      // What is too thin to be seen is drawn together, as the longest of it.
      for (++i; i < slices.size() && x_of(slices[i]->end_ns) < begin + kThinnest; ++i) {
        if (slices[i]->time_ns() > longest->time_ns()) longest = slices[i];
        end = x_of(slices[i]->end_ns);
      }
      drawn_to = std::max(end, begin + kThinnest);
      draw_slice(*longest, begin, drawn_to, y, height);
    }
    return height + kBetween;
  }

  void draw_slice(const Slice& slice, double begin, double end, double y, double height) {
    const std::string_view name = profile_.name_of(slice);
    const std::string& scope = profile_.operations[slice.operation].scope;
    const std::string text =
        slice.kind == SliceKind::REPLAY ? fmt::format("replay {}", slice.replay) : std::string(name);
    add("<rect class=\"{}\" x=\"{:.2f}\" y=\"{:g}\" width=\"{:.2f}\" height=\"{:g}\"><title>{}{}: {:.3f} us at {} ms"
        "</title></rect>\n",
        class_of(slice), begin, y, end - begin, height, escaped(text), scope.empty() ? "" : " in " + escaped(scope),
        static_cast<double>(slice.time_ns()) / kNsPerUs, in_ms(slice.begin_ns));
    const bool plain = slice.kind == SliceKind::WORK;
    if (plain || end - begin < kCharacter * static_cast<double>(text.size() + 1)) return;
    const bool on_colour =
        slice.kind != SliceKind::REPLAY && slice.kind != SliceKind::WAIT && slice.kind != SliceKind::STAGE;
    add("<text class=\"{}\" x=\"{:.2f}\" y=\"{:g}\">{}</text>\n", on_colour ? "in" : "faint", begin + 3,
        y + height / 2 + 4, escaped(text));
  }

  std::string class_of(const Slice& slice) const {
    switch (slice.kind) {
      case SliceKind::REPLAY:
        return "replay";
      case SliceKind::WAIT:
        return "wait";
      case SliceKind::STAGE:
        return "stage";
      default:
        return colours_.class_of(profile_.name_of(slice));
    }
  }

  void draw_axis(double top, double bottom) {
    const double from_ms = static_cast<double>(window_.from_ns) / kNsPerMs;
    const double to_ms = static_cast<double>(window_.to_ns) / kNsPerMs;
    const double step = tick_step(to_ms - from_ms);
    const int decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
    const auto first = static_cast<std::int64_t>(std::ceil(from_ms / step - 1e-9));
    for (std::int64_t tick = first; static_cast<double>(tick) * step <= to_ms; ++tick) {
      const double ms = static_cast<double>(tick) * step;
      const double x = x_of(std::llround(ms * kNsPerMs));
      add_behind("<line class=\"grid\" x1=\"{0:.2f}\" y1=\"{1:g}\" x2=\"{0:.2f}\" y2=\"{2:g}\"/>\n", x, top - kBetween,
                 bottom);
      add("<text class=\"faint\" x=\"{:.2f}\" y=\"{:g}\" text-anchor=\"middle\">{:.{}f} ms</text>\n", x,
          bottom + kLegendRow - 4, ms, decimals);
    }
  }

  double draw_legend(double y) {
    const std::vector<std::string> names = colours_.legend();
    for (std::size_t i = 0; i < names.size(); ++i) {
      const double x = kMargin + static_cast<double>(i % kLegendColumns) * (kLabels + kPlot) / kLegendColumns;
      if (i > 0 && i % kLegendColumns == 0) y += kLegendRow;
      add("<rect class=\"{}\" x=\"{:g}\" y=\"{:g}\" width=\"12\" height=\"12\"/>\n", colours_.class_of(names[i]), x, y);
      add("<text x=\"{:g}\" y=\"{:g}\">{}</text>\n", x + 18, y + 10.5, escaped(names[i]));
    }
    return y + kLegendRow;
  }

  const Profile& profile_;
  const Window window_;
  const Colours colours_;
  std::string back_;  // lanes and grid
  std::string front_; // slices and texts
};

} // namespace

Window last_part(const Profile& profile) {
  std::vector<const Slice*> replays; // of the queue with the most
  for (const Track& track : profile.tracks) {
    std::vector<const Slice*> own;
    for (const Slice& slice : track.slices) {
      if (slice.kind == SliceKind::REPLAY) own.push_back(&slice);
    }
    if (own.size() > replays.size()) replays = std::move(own);
  }
  if (replays.empty()) {
    const std::int64_t end = profile.end_ns();
    return {std::max<std::int64_t>(0, end - kLastNs), end};
  }
  const Slice& first = *replays[replays.size() - std::min(replays.size(), kLastReplays)];
  const Slice& last = *replays.back();
  const std::int64_t margin = (last.end_ns - first.begin_ns) / 50;
  return {std::max<std::int64_t>(0, first.begin_ns - margin), last.end_ns + margin};
}

std::string to_svg(const Profile& profile, Window window) {
  base::require(window.from_ns < window.to_ns,
                "[profile] a picture needs some time to show; received {} to {} ns; the profile ends at {} ns",
                window.from_ns, window.to_ns, profile.end_ns());
  return Picture(profile, window).draw();
}

} // namespace tessera::profile
