#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/spec/op_record.hpp"

namespace tessera::profile {

/// What ran and on what: a profile's heading. Empty texts and zeros are unknown.
struct Origin {
  std::string version; ///< of Tessera
  std::string command; ///< the command line
  std::string model;
  std::string board;
  std::string precision;
  std::string numerics;
  std::string isa;               ///< of the kernels
  std::int64_t threads = 0;      ///< that a queue may use
  std::int64_t chips = 1;        ///< an operation's work is that of one
  double read_bytes_per_s = 0.0; ///< what the machine's memory gives
  double flop_per_s = 0.0;       ///< what its products give
  std::int64_t cache_bytes = 0;  ///< of its last cache
};

/// An op or a transfer with its operands: shared by all runs that differ in nothing else.
struct Operation {
  std::string name;
  std::string scope;               ///< path of the module: "layers.3.attention"
  std::vector<std::string> inputs; ///< "weight: BFLOAT8_B [1, 1, 64, 96] TILE DRAM INTERLEAVED"
  std::vector<std::string> outputs;
  OpWork work; ///< of one chip
};

/// OP to REPLAY are a queue's: programs, transfers, waits for the other queue, and the replay that encloses its ops.
/// WORK is what a thread does for one of them, STAGE what the host is about. PREDICTED is an op as the card would run
/// it.
enum class SliceKind { OP, WRITE, READ, WAIT, REPLAY, WORK, STAGE, PREDICTED };

/// "op", "write" ...
std::string_view to_string(SliceKind kind);

/// Something that took a while.
struct Slice {
  SliceKind kind = SliceKind::OP;
  std::uint32_t operation = 0; ///< index into Profile::operations
  std::int64_t begin_ns = 0;   ///< from the profile's start
  std::int64_t end_ns = 0;
  std::int64_t replay = 0; ///< number of the replay that it is part of; 0: of none
  // Of programs and transfers:
  int threads = 0;             ///< that took part
  std::int64_t work_ns = 0;    ///< time at work, summed over the threads
  std::int64_t covered_ns = 0; ///< time in which at least one thread worked

  std::int64_t time_ns() const { return end_ns - begin_ns; }
};

/// PREDICTED: what a queue's ops would take on the card, each from where the host began it, or from the end of the one
/// before. All others are measured on this host.
enum class TrackKind { STAGES, QUEUE, THREAD, PREDICTED };

/// Slices one after the other, except that a REPLAY encloses those after it, up to its end.
struct Track {
  TrackKind kind = TrackKind::QUEUE;
  std::string name; ///< "queue 0", "worker 1"
  std::vector<Slice> slices;

  /// Brings slices into the order above.
  void sort();
};

/// What ran on this host, when, and on whose time: measured, and apart from that what is predicted for the card.
struct Profile {
  Origin origin;
  std::vector<Operation> operations;
  std::vector<Track> tracks;
  std::int64_t dropped = 0; ///< events that came when the profile was full

  std::string_view name_of(const Slice& slice) const { return operations[slice.operation].name; }
  /// When the last measured slice ends.
  std::int64_t end_ns() const;
};

inline constexpr std::int64_t kNoEnd = std::numeric_limits<std::int64_t>::max();

/// The slices that begin in [from_ns, to_ns); times stay as they are.
Profile between(const Profile& profile, std::int64_t from_ns, std::int64_t to_ns);

/// The slices that begin in a stage of this name. Throws InvalidArgument, naming the stages, when there is none.
Profile within_stage(const Profile& profile, std::string_view stage);

} // namespace tessera::profile
