#include "tessera/profile/profiler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include "tessera/perfmodel/op.hpp"
#include "tessera/profile/fingerprint.hpp"

namespace tessera::profile {
namespace {

using Time = runtime::ProgramRun::Time;

SliceKind kind_of(runtime::ProgramKind kind) {
  switch (kind) {
    case runtime::ProgramKind::OP:
      return SliceKind::OP;
    case runtime::ProgramKind::WRITE:
      return SliceKind::WRITE;
    case runtime::ProgramKind::READ:
      return SliceKind::READ;
    case runtime::ProgramKind::WAIT:
      return SliceKind::WAIT;
    case runtime::ProgramKind::REPLAY:
      return SliceKind::REPLAY;
  }
  return SliceKind::OP;
}

constexpr std::uint32_t kUnknown = ~std::uint32_t{0};

struct Run {
  Time begin;
  Time end;
  std::int64_t replay;
  std::uint32_t record; // index into Stream::records
  std::uint32_t spans;  // how many of Stream::spans are its own
  runtime::ProgramKind kind;
};

/// What one queue ran, written by that queue's thread alone.
struct Stream {
  explicit Stream(std::int64_t max_events) {
    // Untouched memory costs nothing, and a callback never moves what is there.
    runs.reserve(static_cast<std::size_t>(max_events));
    spans.reserve(static_cast<std::size_t>(max_events));
  }

  /// By its place in the trace or, if it was enqueued by itself, by its content: the next record of another op may lie
  /// at the same address.
  std::uint32_t record_of(const OpRecord& record, const runtime::ProgramRun& run) {
    if (run.trace == 0) return record_of(record);
    if (run.trace != last_trace) {
      last_trace = run.trace;
      last_places = &trace_records[run.trace];
    }
    const auto place = static_cast<std::size_t>(run.place);
    if (place >= last_places->size()) last_places->resize(place + 1, kUnknown);
    std::uint32_t& number = (*last_places)[place];
    if (number == kUnknown) number = record_of(record);
    return number;
  }
  std::uint32_t record_of(const OpRecord& record) {
    const auto [entry, is_new] =
        record_numbers.try_emplace(fingerprint(record), static_cast<std::uint32_t>(records.size()));
    if (is_new) records.push_back(record);
    return entry->second;
  }

  std::vector<Run> runs; // in the order in which they ended
  std::vector<base::WorkSpan> spans;
  std::vector<OpRecord> records;
  std::unordered_map<std::uint64_t, std::uint32_t> record_numbers;            // by fingerprint
  std::unordered_map<std::int64_t, std::vector<std::uint32_t>> trace_records; // numbers by trace and place
  std::int64_t last_trace = 0;
  std::vector<std::uint32_t>* last_places = nullptr; // of last_trace
  std::int64_t dropped = 0;
};

std::vector<std::string> texts_of(const std::vector<OperandRecord>& operands) {
  std::vector<std::string> texts;
  for (const OperandRecord& operand : operands) {
    texts.push_back(fmt::format("{}: {}", operand.name, to_string(operand.spec)));
  }
  return texts;
}

/// Puts streams together into a profile, all times from `start`.
class Builder {
 public:
  Builder(Profile& profile, Time start) : profile_(profile), start_(start) {}

  void add_stage(Track& track, const std::string& name, Time begin, Time end) {
    track.slices.push_back({.kind = SliceKind::STAGE,
                            .operation = number_of({.name = name}),
                            .begin_ns = since_start(begin),
                            .end_ns = since_start(end)});
  }

  /// `prefix` tells devices apart. `board`: predicts the ops for it; null: does not.
  void add(const Stream& stream, int queue, const std::string& prefix, const BoardSpec* board) {
    profile_.dropped += stream.dropped;
    if (stream.runs.empty()) return;
    std::vector<std::uint32_t> numbers;
    for (const OpRecord& record : stream.records) numbers.push_back(number_of(record));
    Track track{.kind = TrackKind::QUEUE, .name = fmt::format("{}queue {}", prefix, queue), .slices = {}};
    std::size_t first_span = 0;
    for (const Run& run : stream.runs) {
      const std::span<const base::WorkSpan> spans(stream.spans.data() + first_span, run.spans);
      first_span += run.spans;
      Slice slice{.kind = kind_of(run.kind),
                  .operation = numbers[run.record],
                  .begin_ns = since_start(run.begin),
                  .end_ns = since_start(run.end),
                  .replay = run.replay};
      add_work(spans, slice, fmt::format("{}queue {}'s thread", prefix, queue));
      track.slices.push_back(slice);
    }
    track.sort();
    profile_.tracks.push_back(std::move(track));
    if (board != nullptr) add_predicted(stream, profile_.tracks.back(), *board);
  }

  /// The threads' tracks come after the queues'.
  void finish() {
    for (auto& [name, track] : threads_) {
      track.sort();
      profile_.tracks.push_back(std::move(track));
    }
  }

 private:
  std::int64_t since_start(Time time) const { return std::chrono::nanoseconds(time - start_).count(); }

  std::uint32_t number_of(const OpRecord& record) {
    const auto number = static_cast<std::uint32_t>(profile_.operations.size());
    const auto [entry, is_new] = numbers_.try_emplace(fingerprint(record), number);
    if (is_new) {
      profile_.operations.push_back({.name = record.name,
                                     .scope = record.scope,
                                     .inputs = texts_of(record.inputs),
                                     .outputs = texts_of(record.outputs),
                                     .work = record.work});
    }
    return entry->second;
  }

  /// The ops of a queue's track as the card would run them, in the same order.
  void add_predicted(const Stream& stream, const Track& measured, const BoardSpec& board) {
    const perfmodel::Constants& constants = perfmodel::constants();
    if (!constants.chips.contains(board.arch.name)) return;
    const double gap_ns = constants.of(board.arch).op_gap_ns;
    std::unordered_map<std::uint32_t, std::int64_t> times; // by operation
    for (const OpRecord& record : stream.records) {
      const double time_ns = perfmodel::predict_op(record, board, {}, constants).time_ns;
      times[number_of(record)] = static_cast<std::int64_t>(time_ns + gap_ns);
    }
    Track track{.kind = TrackKind::PREDICTED, .name = measured.name + ", predicted", .slices = {}};
    std::int64_t free_from = 0;
    for (const Slice& slice : measured.slices) {
      if (slice.kind != SliceKind::OP) continue;
      const std::int64_t begin = std::max(free_from, slice.begin_ns);
      free_from = begin + times.at(slice.operation);
      track.slices.push_back({.kind = SliceKind::PREDICTED,
                              .operation = slice.operation,
                              .begin_ns = begin,
                              .end_ns = free_from,
                              .replay = slice.replay});
    }
    profile_.tracks.push_back(std::move(track));
  }

  /// A slice on the track of each thread, and what they add up to.
  void add_work(std::span<const base::WorkSpan> spans, Slice& program, const std::string& queue_thread) {
    std::vector<std::pair<std::int64_t, std::int64_t>> times;
    std::vector<int> threads;
    for (const base::WorkSpan& span : spans) {
      const Slice work{.kind = SliceKind::WORK,
                       .operation = program.operation,
                       .begin_ns = since_start(span.begin),
                       .end_ns = since_start(span.end)};
      // Workers are the process's, whatever queue they help.
      const std::string name = span.thread == 0 ? queue_thread : fmt::format("worker {}", span.thread);
      Track& track = threads_.try_emplace({span.thread, name}, Track{TrackKind::THREAD, name, {}}).first->second;
      track.slices.push_back(work);
      program.work_ns += work.time_ns();
      times.emplace_back(work.begin_ns, work.end_ns);
      threads.push_back(span.thread);
    }
    std::sort(threads.begin(), threads.end());
    program.threads = static_cast<int>(std::unique(threads.begin(), threads.end()) - threads.begin());
    std::sort(times.begin(), times.end());
    std::int64_t covered_until = program.begin_ns;
    for (const auto& [begin, end] : times) {
      program.covered_ns += std::max<std::int64_t>(0, end - std::max(begin, covered_until));
      covered_until = std::max(covered_until, end);
    }
  }

  Profile& profile_;
  const Time start_;
  std::unordered_map<std::uint64_t, std::uint32_t> numbers_; // of operations, by fingerprint
  std::map<std::pair<int, std::string>, Track> threads_;
};

} // namespace

class Profiler::DeviceObserver : public runtime::QueueObserver {
 public:
  DeviceObserver(runtime::MeshDevice& device, Profiler& profiler)
      : device_(&device), board_(device.board()), profiler_(profiler) {
    for (int queue = 0; queue < device.command_queues(); ++queue) streams_.emplace_back(profiler.max_events_);
  }

  void after(runtime::MeshDevice&, const OpRecord& record, const runtime::ProgramRun& run) override {
    Stream& stream = streams_[static_cast<std::size_t>(run.queue)];
    const auto events = static_cast<std::int64_t>(1 + run.spans.size());
    if (profiler_.events_.fetch_add(events, std::memory_order_relaxed) + events > profiler_.max_events_) {
      stream.dropped += events;
      return;
    }
    stream.spans.insert(stream.spans.end(), run.spans.begin(), run.spans.end());
    stream.runs.push_back({.begin = run.begin,
                           .end = run.end,
                           .replay = run.replay,
                           .record = stream.record_of(record, run),
                           .spans = static_cast<std::uint32_t>(run.spans.size()),
                           .kind = run.kind});
  }

  bool observes(const runtime::MeshDevice& device) const { return device_ == &device; }
  void forget_device() { device_ = nullptr; } // another may be opened at its address
  const std::vector<Stream>& streams() const { return streams_; }
  const BoardSpec& board() const { return board_; }

 private:
  const runtime::MeshDevice* device_;
  const BoardSpec board_; // outlives the device
  Profiler& profiler_;
  std::vector<Stream> streams_; // one for each queue
};

Profiler::Profiler(std::int64_t max_events, bool predict) : max_events_(max_events), predict_(predict) {}
Profiler::~Profiler() = default;

void Profiler::attach(runtime::MeshDevice& device) {
  device.add_observer(*devices_.emplace_back(std::make_unique<DeviceObserver>(device, *this)));
}

void Profiler::detach(runtime::MeshDevice& device) {
  for (const auto& observer : devices_) {
    if (!observer->observes(device)) continue;
    device.remove_observer(*observer);
    observer->forget_device();
  }
}

void Profiler::begin_stage(std::string name) {
  end_stage();
  stages_.push_back({.name = std::move(name), .begin = std::chrono::steady_clock::now(), .end = {}});
  in_stage_ = true;
}

void Profiler::end_stage() {
  if (in_stage_) stages_.back().end = std::chrono::steady_clock::now();
  in_stage_ = false;
}

Profile Profiler::profile() const {
  Time start = Time::max();
  for (const Stage& stage : stages_) start = std::min(start, stage.begin);
  for (const auto& device : devices_) {
    for (const Stream& stream : device->streams()) {
      for (const Run& run : stream.runs) start = std::min(start, run.begin);
    }
  }
  Profile profile;
  Builder builder(profile, start);
  if (!stages_.empty()) {
    Track track{.kind = TrackKind::STAGES, .name = "stages", .slices = {}};
    for (const Stage& stage : stages_) {
      const bool runs = in_stage_ && &stage == &stages_.back();
      builder.add_stage(track, stage.name, stage.begin, runs ? std::chrono::steady_clock::now() : stage.end);
    }
    profile.tracks.push_back(std::move(track));
  }
  for (std::size_t number = 0; number < devices_.size(); ++number) {
    const auto& streams = devices_[number]->streams();
    const std::string prefix = devices_.size() > 1 ? fmt::format("device {} ", number) : "";
    for (std::size_t queue = 0; queue < streams.size(); ++queue) {
      const BoardSpec* board = predict_ ? &devices_[number]->board() : nullptr;
      builder.add(streams[queue], static_cast<int>(queue), prefix, board);
    }
  }
  builder.finish();
  return profile;
}

} // namespace tessera::profile
