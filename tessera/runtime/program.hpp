#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/runtime/communicator.hpp"
#include "tessera/spec/op_record.hpp"

namespace tessera::runtime {

/// What a kernel call is told: which chip, which unit of its stage's work, and the program's scratch memory there.
struct Unit {
  std::int64_t chip = 0;
  std::int64_t index = 0;
  std::byte* scratch = nullptr; ///< Program::scratch_bytes of this chip, 64-byte aligned, shared by all its units
};

/// Work that may run in any order and on any thread: `body` is called once for each chip and each unit. A unit's result
/// may depend on its number alone, so that any number of threads gives the same bits.
struct Stage {
  std::int64_t units = 1; ///< of each chip
  std::function<void(const Unit&)> body;
  /// Also for chips of other ranks, whose bytes an exchange has brought: for what every rank wants to know.
  bool of_all_chips = false;
};

/// WAIT: for an event. REPLAY: a whole trace.
enum class ProgramKind { OP, WRITE, READ, WAIT, REPLAY };

/// What a queue runs: stages, each begun when the one before has ended on all of this rank's chips. Operands are
/// addresses; a program owns no device memory, since memory freed on the host is reused by later programs of the queue
/// only.
struct Program {
  std::string_view name; ///< TT-NN's name of the op; static storage
  ProgramKind kind = ProgramKind::OP;
  Messages exchange; ///< done first
  std::vector<Stage> stages;
  std::int64_t scratch_bytes = 0;         ///< host memory that the stages share, of each chip
  std::uint64_t key = 0;                  ///< what the card's program cache knows it by; 0: not an op of the card
  std::int64_t circular_buffer_bytes = 0; ///< of each core's L1, from its bottom
  std::string scope;                      ///< module path, for errors
  std::shared_ptr<const OpRecord> record; ///< null unless the queue is observed or captures a trace
};

/// "linear in layers.3.mlp"
std::string place_of(const Program& program);

} // namespace tessera::runtime
