#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tessera/runtime/allocator.hpp"
#include "tessera/runtime/program.hpp"
#include "tessera/spec/tensor_spec.hpp"

namespace tessera::runtime {

class MeshDevice;

using TraceId = std::int64_t;

/// Programs as they were captured: kernels, addresses and arguments, frozen.
struct TracePrograms {
  TraceId id = 0;
  std::vector<Program> programs;
  OpRecord record{.name = "execute_trace"};
};

/// A device's traces, and what they would overwrite. Memory that a trace used for what lies between its ops is free
/// after the capture, and is written again by every replay: what is allocated there later would be lost.
class TraceTable {
 public:
  explicit TraceTable(MeshDevice& device) : device_(device) {}

  TraceId begin(int queue);
  void end(TraceId id);
  /// Queues a replay. Throws DeviceError when it would overwrite a buffer that was allocated after the capture.
  void replay(TraceId id, int queue);
  void release(TraceId id);
  /// Tells the allocators what replays on other queues use that `queue` does not come after.
  void note_replays(int queue);

 private:
  /// Bytes of each bank, [begin, end), that a program writes.
  struct Written {
    std::int64_t begin;
    std::int64_t end;
    const Program* program;
  };
  /// One of the device's two memories, as it was at the end of the capture.
  struct Memory {
    std::vector<Written> written; // disjoint, in order of their begin
    std::uint64_t allocations = 0;
    std::uint64_t checked = 0; // allocations that were there at the last check
  };
  struct Trace {
    int queue = 0;
    bool capturing = true;
    std::shared_ptr<TracePrograms> programs;
    std::int64_t bytes = 0;
    std::int64_t address = -1; // of its bytes, outside a region
    Memory dram;
    Memory l1;
    int replayed_on = -1;              // the queue of the last replay
    std::uint64_t replayed_number = 0; // and its command
  };

  Trace& find(std::string_view function, TraceId id);
  void note_writes(Trace& trace) const;
  void check(TraceId id, BufferType type, Memory& memory) const;
  void note_replay(const Trace& trace) const;
  void wait_for_other_queues(const Trace& trace, int queue) const;

  MeshDevice& device_;
  std::map<TraceId, Trace> traces_;
  TraceId last_id_ = 0;
  std::int64_t used_bytes_ = 0;
};

/// A captured trace that is released with its owner.
class Trace {
 public:
  Trace() = default;
  /// Captures what `body` enqueues. What it throws is rethrown, and nothing is captured.
  Trace(std::shared_ptr<MeshDevice> device, int queue, const std::function<void()>& body);
  ~Trace();
  Trace(Trace&& other) noexcept { *this = std::move(other); }
  Trace& operator=(Trace&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(id_, other.id_);
    std::swap(queue_, other.queue_);
    return *this;
  }

  bool captured() const { return id_ != 0; }
  /// See MeshDevice::execute_trace.
  void execute(bool blocking) const;

 private:
  std::shared_ptr<MeshDevice> device_;
  TraceId id_ = 0;
  int queue_ = 0;
};

} // namespace tessera::runtime
