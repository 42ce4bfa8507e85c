#include "tessera/runtime/trace.hpp"

#include <algorithm>
#include <utility>

#include "tessera/base/error.hpp"
#include "tessera/runtime/mesh_device.hpp"
#include "tessera/spec/sharding.hpp"

namespace tessera::runtime {

TraceTable::Trace& TraceTable::find(std::string_view function, TraceId id) {
  const auto trace = traces_.find(id);
  base::require(trace != traces_.end(),
                "[{}] a trace that begin_trace_capture made and release_trace did not end is required; received {}",
                function, id);
  return trace->second;
}

TraceId TraceTable::begin(int queue) {
  device_.queue(queue).require_no_capture("begin_trace_capture");
  Trace trace{.queue = queue, .programs = std::make_shared<TracePrograms>()};
  trace.programs->id = ++last_id_;
  device_.queue(queue).set_capture(trace.programs.get());
  traces_.emplace(last_id_, std::move(trace));
  return last_id_;
}

void TraceTable::end(TraceId id) {
  Trace& trace = find("end_trace_capture", id);
  base::require(trace.capturing,
                "[end_trace_capture] a trace whose capture is under way is required; trace {} has ended", id);
  device_.queue(trace.queue).set_capture(nullptr);
  trace.capturing = false;
  try {
    trace.bytes = static_cast<std::int64_t>(trace.programs->programs.size()) * device_.board().arch.trace_bytes_per_op;
    const std::int64_t region = device_.trace_region_size();
    base::require<base::OutOfMemory>(
        region == 0 || used_bytes_ + trace.bytes <= region,
        "[end_trace_capture] trace {} of {} ops takes {} bytes of each chip's trace region, {} with those that are "
        "there; the region has {}; open the device with trace_region_size {} or more (--trace-region-size), or release "
        "a trace",
        id, trace.programs->programs.size(), trace.bytes, used_bytes_ + trace.bytes, region, used_bytes_ + trace.bytes);
    if (region == 0 && trace.bytes > 0)
      trace.address = device_.allocate_trace_memory(trace.bytes, fmt::format("trace {}", id));
  } catch (...) {
    traces_.erase(id);
    throw;
  }
  used_bytes_ += trace.bytes;
  note_writes(trace);
}

void TraceTable::note_writes(Trace& trace) const {
  std::vector<Written> dram;
  std::vector<Written> l1;
  const std::int64_t bottom_of_l1 = device_.allocator(BufferType::L1).layout().begin;
  for (const Program& program : trace.programs->programs) {
    l1.push_back({bottom_of_l1, bottom_of_l1 + program.circular_buffer_bytes, &program});
    for (const OperandRecord& output : program.record->outputs) {
      const BufferType type = output.spec.memory_config.buffer_type;
      const BankAllocator& allocator = device_.allocator(type);
      const PagesInBanks taken = pages_in_banks(output.spec, allocator.layout().banks);
      const std::int64_t bytes = allocator.bytes_per_bank(taken.pages, taken.page_bytes);
      (type == BufferType::DRAM ? dram : l1).push_back({output.address, output.address + bytes, &program});
    }
  }
  const auto merge = [](std::vector<Written>& all) {
    std::stable_sort(all.begin(), all.end(), [](const Written& a, const Written& b) { return a.begin < b.begin; });
    std::vector<Written> disjoint;
    for (Written& piece : all) {
      if (!disjoint.empty()) piece.begin = std::max(piece.begin, disjoint.back().end);
      if (piece.begin < piece.end) disjoint.push_back(piece);
    }
    return disjoint;
  };
  trace.dram = {merge(dram), device_.allocator(BufferType::DRAM).allocation_count(), 0};
  trace.l1 = {merge(l1), device_.allocator(BufferType::L1).allocation_count(), 0};
}

void TraceTable::check(TraceId id, BufferType type, Memory& memory) const {
  const BankAllocator& allocator = device_.allocator(type);
  if (memory.checked == allocator.allocation_count()) return;
  for (const auto& [address, allocation] : allocator.allocations()) {
    if (allocation.number <= memory.allocations || allocation.corruptible) continue;
    const auto written = std::lower_bound(memory.written.begin(), memory.written.end(), address,
                                          [](const Written& piece, std::int64_t begin) { return piece.end <= begin; });
    base::require<base::DeviceError>(
        written == memory.written.end() || written->begin >= address + allocation.bytes_per_bank,
        "[execute_trace] a replay of trace {} would overwrite {}, which was allocated in {} after the capture, where "
        "the trace's {} writes; allocate it before begin_trace_capture, free it before the replay, or call "
        "acknowledge_corruptible on the tensor if it may be lost",
        id, allocation.label.name, to_string(type), written == memory.written.end() ? "" : place_of(*written->program));
  }
  memory.checked = allocator.allocation_count();
}

void TraceTable::note_replay(const Trace& trace) const {
  for (const auto& [type, memory] : {std::pair{BufferType::DRAM, &trace.dram}, {BufferType::L1, &trace.l1}}) {
    for (const Written& piece : memory->written)
      device_.allocator_of(type).note_use(piece.begin, piece.end, trace.replayed_on, trace.replayed_number);
  }
}

void TraceTable::note_replays(int queue) {
  for (const auto& [id, trace] : traces_) {
    if (trace.replayed_on >= 0 && trace.replayed_on != queue &&
        trace.replayed_number > device_.known(queue, trace.replayed_on))
      note_replay(trace);
  }
}

void TraceTable::wait_for_other_queues(const Trace& trace, int queue) const {
  for (int other = 0; other < device_.command_queues(); ++other) {
    if (other == queue) continue;
    std::uint64_t last = trace.replayed_on == other ? trace.replayed_number : 0;
    for (const auto& [type, memory] : {std::pair{BufferType::DRAM, &trace.dram}, {BufferType::L1, &trace.l1}}) {
      for (const Written& piece : memory->written)
        last = std::max(last, device_.allocator(type).last_use(piece.begin, piece.end, other));
    }
    device_.wait_for_command(queue, other, last);
  }
}

void TraceTable::replay(TraceId id, int queue) {
  Trace& trace = find("execute_trace", id);
  base::require(!trace.capturing, "[execute_trace] trace {} is still being captured; call end_trace_capture first", id);
  check(id, BufferType::DRAM, trace.dram);
  check(id, BufferType::L1, trace.l1);
  if (device_.command_queues() > 1) wait_for_other_queues(trace, queue);
  device_.queue(queue).enqueue_replay(trace.programs);
  trace.replayed_on = queue;
  trace.replayed_number = device_.queue(queue).submitted();
}

void TraceTable::release(TraceId id) {
  Trace& trace = find("release_trace", id);
  if (trace.capturing) device_.queue(trace.queue).set_capture(nullptr);
  if (device_.command_queues() > 1 && trace.replayed_on >= 0) note_replay(trace);
  used_bytes_ -= trace.bytes;
  if (trace.address >= 0) device_.free_trace_memory(trace.address);
  traces_.erase(id);
}

Trace::Trace(std::shared_ptr<MeshDevice> device, int queue, const std::function<void()>& body)
    : device_(std::move(device)), queue_(queue) {
  const QueueScope scope(*device_, queue);
  id_ = device_->begin_trace_capture(queue);
  try {
    body();
    device_->end_trace_capture(id_);
  } catch (...) {
    if (device_->queue(queue).capturing()) device_->release_trace(id_);
    throw;
  }
}

Trace::~Trace() {
  if (id_ != 0) device_->release_trace(id_);
}

void Trace::execute(bool blocking) const {
  device_->execute_trace(id_, queue_, blocking);
}

} // namespace tessera::runtime
