#pragma once

#include <chrono>
#include <cstdint>
#include <span>

#include "tessera/base/thread_pool.hpp"
#include "tessera/runtime/program.hpp"
#include "tessera/spec/op_record.hpp"

namespace tessera::runtime {

class MeshDevice;

/// One piece of a queue's work, done. Times are of this host's steady clock.
struct ProgramRun {
  using Time = std::chrono::steady_clock::time_point;

  ProgramKind kind = ProgramKind::OP;
  int queue = 0;
  /// The replay that it is part of, counted from 1 over the device's life; 0: enqueued by itself.
  std::int64_t replay = 0;
  /// The trace that was replayed, and where in it the program stands: the same record each time. 0: enqueued by itself.
  std::int64_t trace = 0;
  std::int64_t place = 0;
  std::int64_t circular_buffer_bytes = 0; ///< of each core's L1
  Time begin;                             ///< equal to `end` in record mode
  Time end;
  /// Who worked when, a span for each stage and thread that took part. A WAIT and a REPLAY have none.
  std::span<const base::WorkSpan> spans;

  std::chrono::nanoseconds time() const { return end - begin; }
};

/// Sees every program of the queues that it is added to. In execute mode it is called on the queue's own thread, right
/// before and right after the program, while the record's operands are live in device memory (tensor::read_operand
/// decodes them); in record mode on the calling thread. Two queues call from two threads. It may not enqueue work.
/// The programs of a replay are seen one by one, then the replay as a whole: a REPLAY whose record has the name
/// "execute_trace". A WAIT is the time that a queue stood still for an event of another queue, "wait_for_event".
class QueueObserver {
 public:
  virtual ~QueueObserver() = default;
  virtual void before(MeshDevice& /*device*/, const OpRecord& /*record*/) {}
  virtual void after(MeshDevice& device, const OpRecord& record, const ProgramRun& run) = 0;
};

} // namespace tessera::runtime
