#include "tessera/profile/report.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

namespace tessera::profile {
namespace {

constexpr double kNsPerS = 1e9;
// Threads without work for so much of an op's time are what to look at first, whatever the rest reaches.
constexpr double kMuch = 0.3;
// From half of a limit on, coming nearer to it gains less than moving or computing less does.
constexpr double kNearLimit = 0.5;
// The memory of a shared machine drifts, but what reads at twice its measured speed reads from a cache.
constexpr double kBeyondMemory = 2.0;

/// Sums over the runs of one row.
struct Sums {
  OpRow row;
  double bytes = 0.0;
  double flops = 0.0;
  double threads = 0.0;
  double work_ns = 0.0;
  double covered_ns = 0.0;
  std::map<std::string, double> weight_bytes; // by format
};

std::optional<std::string> weight_dtype_of(const Operation& operation) {
  constexpr std::string_view kWeight = "weight: ";
  for (const std::string& input : operation.inputs) {
    if (input.starts_with(kWeight))
      return input.substr(kWeight.size(), input.find(' ', kWeight.size()) - kWeight.size());
  }
  return std::nullopt;
}

double bytes_of(const Operation& operation, const Origin& origin) {
  const OpWork& work = operation.work;
  return static_cast<double>(origin.chips) *
         (static_cast<double>(work.dram_read_bytes) + static_cast<double>(work.dram_write_bytes));
}

void add(Sums& sums, const Slice& slice, const Operation& operation, const Origin& origin) {
  const OpWork& work = operation.work;
  const double bytes = bytes_of(operation, origin);
  ++sums.row.count;
  sums.row.total_ns += static_cast<double>(slice.time_ns());
  sums.bytes += bytes;
  sums.flops += static_cast<double>(origin.chips) *
                (static_cast<double>(work.matmul_flops) + static_cast<double>(work.vector_flops));
  sums.threads += slice.threads;
  sums.work_ns += static_cast<double>(slice.work_ns);
  sums.covered_ns += static_cast<double>(slice.covered_ns);
  if (const auto dtype = weight_dtype_of(operation)) sums.weight_bytes[*dtype] += bytes;
}

Bound bound_of(const OpRow& row, const Origin& origin, bool cached) {
  if (std::max(row.idle_share, row.overhead_share) >= kMuch) {
    return row.idle_share >= row.overhead_share ? Bound::THREADS : Bound::HOST;
  }
  if (origin.read_bytes_per_s == 0.0 || origin.flop_per_s == 0.0) return Bound::UNKNOWN;
  const double read_share = !cached && row.read_share < kBeyondMemory ? row.read_share : 0.0;
  if (std::max(read_share, row.flop_share) < kNearLimit) return Bound::KERNEL;
  return read_share >= row.flop_share ? Bound::MEMORY : Bound::ARITHMETIC;
}

OpRow finish(Sums sums, const Origin& origin, double all_ns, bool cached) {
  OpRow row = std::move(sums.row);
  row.share = all_ns > 0.0 ? row.total_ns / all_ns : 0.0;
  row.threads = sums.threads / static_cast<double>(row.count);
  if (row.total_ns > 0.0) {
    const auto threads = static_cast<double>(std::max<std::int64_t>(1, origin.threads));
    row.bytes_per_s = sums.bytes / row.total_ns * kNsPerS;
    row.flop_per_s = sums.flops / row.total_ns * kNsPerS;
    row.idle_share = std::max(0.0, threads * sums.covered_ns - sums.work_ns) / (threads * row.total_ns);
    row.overhead_share = std::max(0.0, row.total_ns - sums.covered_ns) / row.total_ns;
  }
  if (origin.read_bytes_per_s > 0.0) row.read_share = row.bytes_per_s / origin.read_bytes_per_s;
  if (origin.flop_per_s > 0.0) row.flop_share = row.flop_per_s / origin.flop_per_s;
  const auto most = std::max_element(sums.weight_bytes.begin(), sums.weight_bytes.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most != sums.weight_bytes.end()) row.weight_dtype = most->first;
  row.bound = bound_of(row, origin, cached);
  return row;
}

template <typename Row, typename Time>
void sort_by_time(std::vector<Row>& rows, Time Row::*time) {
  std::stable_sort(rows.begin(), rows.end(), [time](const Row& a, const Row& b) { return a.*time > b.*time; });
}

/// Adds up the tracks of queues.
class QueueCounter {
 public:
  explicit QueueCounter(const Profile& profile) : profile_(profile), has_run_(profile.operations.size()) {}

  void add_queue(const Track& track) {
    QueueRow row{.name = track.name};
    const Slice* previous = nullptr; // of the programs
    std::int64_t begin_ns = 0;
    std::int64_t end_ns = 0;
    for (const Slice& slice : track.slices) {
      if (slice.kind == SliceKind::REPLAY) {
        ++row.replays;
        row.replay_ns += static_cast<double>(slice.time_ns());
        continue;
      }
      if (previous == nullptr) begin_ns = slice.begin_ns;
      if (previous != nullptr && slice.begin_ns > end_ns) add_gap(row, *previous, slice, slice.begin_ns - end_ns);
      add_program(row, slice);
      previous = &slice;
      end_ns = std::max(end_ns, slice.end_ns);
    }
    row.elapsed_ns = static_cast<double>(end_ns - begin_ns);
    if (previous != nullptr) queues.push_back(std::move(row));
  }

  std::vector<OpRow> finish_ops() {
    double all_ns = 0.0;
    for (const auto& [key, sums] : ops_) all_ns += sums.row.total_ns;
    std::vector<OpRow> rows;
    const bool cached = bytes_of_all() < static_cast<double>(profile_.origin.cache_bytes);
    for (auto& [key, sums] : ops_) rows.push_back(finish(std::move(sums), profile_.origin, all_ns, cached));
    sort_by_time(rows, &OpRow::total_ns);
    return rows;
  }
  std::vector<GapRow> finish_gaps() {
    std::vector<GapRow> rows;
    for (auto& [key, row] : gaps_) rows.push_back(std::move(row));
    sort_by_time(rows, &GapRow::total_ns);
    return rows;
  }

  std::vector<QueueRow> queues;

 private:
  /// What the operations move, each once: another run of the same one finds it in a cache that holds all of it.
  double bytes_of_all() const {
    double bytes = 0.0;
    for (std::size_t i = 0; i < has_run_.size(); ++i) {
      if (has_run_[i]) bytes += bytes_of(profile_.operations[i], profile_.origin);
    }
    return bytes;
  }

  void add_program(QueueRow& row, const Slice& slice) {
    const auto time = static_cast<double>(slice.time_ns());
    if (slice.kind == SliceKind::WAIT) {
      row.wait_ns += time;
      return;
    }
    (slice.kind == SliceKind::WRITE ? row.write_ns : slice.kind == SliceKind::READ ? row.read_ns : row.op_ns) += time;
    const Operation& operation = profile_.operations[slice.operation];
    has_run_[slice.operation] = true;
    Sums& sums = ops_[{operation.name, slice.kind}];
    sums.row.name = operation.name;
    sums.row.kind = slice.kind;
    add(sums, slice, operation, profile_.origin);
  }

  void add_gap(QueueRow& row, const Slice& before, const Slice& after, std::int64_t time_ns) {
    GapRow gap{.queue = row.name,
               .before = std::string(profile_.name_of(before)),
               .after = std::string(profile_.name_of(after))};
    GapRow& pair = gaps_.try_emplace({gap.queue, gap.before, gap.after}, gap).first->second;
    for (GapRow* const all : {&gap, &pair}) {
      ++all->count;
      all->total_ns += static_cast<double>(time_ns);
      all->largest_ns = std::max(all->largest_ns, time_ns);
    }
    ++row.gaps;
    row.gap_ns += gap.total_ns;
    if (before.replay != 0 && before.replay == after.replay) row.gap_in_replays_ns += gap.total_ns;
    if (time_ns > row.largest_gap.largest_ns) row.largest_gap = std::move(gap);
  }

  const Profile& profile_;
  std::vector<bool> has_run_; // of the operations
  std::map<std::pair<std::string, SliceKind>, Sums> ops_;
  std::map<std::tuple<std::string, std::string, std::string>, GapRow> gaps_;
};

} // namespace

std::string_view to_string(Bound bound) {
  switch (bound) {
    case Bound::MEMORY:
      return "memory";
    case Bound::ARITHMETIC:
      return "arithmetic";
    case Bound::THREADS:
      return "threads";
    case Bound::HOST:
      return "host overhead";
    case Bound::KERNEL:
      return "kernel";
    case Bound::UNKNOWN:
      break;
  }
  return "?";
}

Report make_report(const Profile& profile) {
  Report report{.origin = profile.origin, .dropped = profile.dropped};
  QueueCounter queues(profile);
  std::int64_t begin_ns = profile.end_ns();
  for (const Track& track : profile.tracks) {
    if (track.kind == TrackKind::PREDICTED) continue; // a report is of what was measured
    if (!track.slices.empty()) begin_ns = std::min(begin_ns, track.slices.front().begin_ns);
    if (track.kind == TrackKind::QUEUE) {
      queues.add_queue(track);
      continue;
    }
    std::vector<TimeRow>& rows = track.kind == TrackKind::THREAD ? report.threads : report.stages;
    if (track.kind == TrackKind::THREAD) rows.push_back({.name = track.name});
    for (const Slice& slice : track.slices) {
      if (track.kind == TrackKind::STAGES) rows.push_back({.name = std::string(profile.name_of(slice))});
      rows.back().time_ns += static_cast<double>(slice.time_ns());
    }
  }
  report.elapsed_ns = static_cast<double>(profile.end_ns() - begin_ns);
  for (std::vector<TimeRow>* const rows : {&report.threads, &report.stages}) {
    for (TimeRow& row : *rows) row.share = report.elapsed_ns > 0.0 ? row.time_ns / report.elapsed_ns : 0.0;
  }
  report.ops = queues.finish_ops();
  report.gaps = queues.finish_gaps();
  report.queues = std::move(queues.queues);
  return report;
}

} // namespace tessera::profile
