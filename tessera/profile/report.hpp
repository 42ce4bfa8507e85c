#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tessera/profile/profile.hpp"

namespace tessera::profile {

/// What keeps an op from being faster. THREADS: threads idle while others work. HOST: no thread works, the time goes
/// into handing work out. MEMORY, ARITHMETIC: neither, and it reaches at least half of what the machine's memory or its
/// products give; not MEMORY where all that the profile's ops move fits the machine's cache. KERNEL: none of these; its
/// own instructions take the time. UNKNOWN: the machine's limits are.
enum class Bound { THREADS, HOST, MEMORY, ARITHMETIC, KERNEL, UNKNOWN };

/// "threads", "host overhead", "memory", "arithmetic", "kernel", "?"
std::string_view to_string(Bound bound);

/// All runs of the ops or transfers of one name.
struct OpRow {
  std::string name;
  SliceKind kind = SliceKind::OP; ///< OP, WRITE or READ
  std::int64_t count = 0;
  double total_ns = 0.0;
  double share = 0.0;          ///< of the time of all rows
  double bytes_per_s = 0.0;    ///< of DRAM, read and written
  double flop_per_s = 0.0;     ///< on the matrix unit and beside it
  double read_share = 0.0;     ///< of what the memory gives; 0: unknown
  double flop_share = 0.0;     ///< of what the products give; 0: unknown
  double threads = 0.0;        ///< that took part in a run, on average
  double idle_share = 0.0;     ///< of the threads' time: idle while another works
  double overhead_share = 0.0; ///< of its time: no thread at work
  Bound bound = Bound::UNKNOWN;
  std::string weight_dtype; ///< of the "weight" that it reads most from; empty: it reads none

  double mean_ns() const { return count > 0 ? total_ns / static_cast<double>(count) : 0.0; }
};

/// Time between two programs of a queue, by the names of the two.
struct GapRow {
  std::string queue;
  std::string before;
  std::string after;
  std::int64_t count = 0;
  double total_ns = 0.0;
  std::int64_t largest_ns = 0;
};

/// A queue from its first program's begin to its last one's end. The parts add up to the whole.
struct QueueRow {
  std::string name;
  double elapsed_ns = 0.0;
  double op_ns = 0.0;
  double write_ns = 0.0;
  double read_ns = 0.0;
  double wait_ns = 0.0;
  double gap_ns = 0.0;
  double gap_in_replays_ns = 0.0; ///< the part of gap_ns between two programs of one replay
  std::int64_t gaps = 0;
  GapRow largest_gap; ///< that pair's single largest
  std::int64_t replays = 0;
  double replay_ns = 0.0;

  double share(double part_ns) const { return elapsed_ns > 0.0 ? part_ns / elapsed_ns : 0.0; }
};

/// A thread's time at work, or a stage's time.
struct TimeRow {
  std::string name;
  double time_ns = 0.0;
  double share = 0.0; ///< of the profile's time
};

/// What a profile adds up to.
struct Report {
  Origin origin;
  double elapsed_ns = 0.0; ///< from the first slice's begin to the last one's end
  std::int64_t dropped = 0;
  std::vector<OpRow> ops; ///< most time first
  std::vector<QueueRow> queues;
  std::vector<GapRow> gaps; ///< most time first
  std::vector<TimeRow> threads;
  std::vector<TimeRow> stages; ///< in order
};

Report make_report(const Profile& profile);

/// Figures that follow: a table for people, JSON with units in the keys. Both end with the advice.
std::string to_table(const Report& report);
nlohmann::json to_json(const Report& report);

/// The rows of ops alone; the table is made from their JSON, each line indented by `indent` spaces.
nlohmann::json to_json(const std::vector<OpRow>& ops);
std::string op_table(const nlohmann::json& ops, int indent);

} // namespace tessera::profile
