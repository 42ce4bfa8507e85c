#pragma once

#include <chrono>

#include "tessera/spec/op_record.hpp"

namespace tessera::runtime {

class MeshDevice;

/// Sees every program of a queue. In execute mode it is called on the queue's own thread, right before and right after
/// the program, while the record's operands are live in device memory (tensor::read_operand decodes them); in record
/// mode on the calling thread. It may not enqueue work.
class QueueObserver {
 public:
  virtual ~QueueObserver() = default;
  virtual void before(MeshDevice& /*device*/, const OpRecord& /*record*/) {}
  /// `host_time` is what the program took on this host; zero in record mode.
  virtual void after(MeshDevice& device, const OpRecord& record, std::chrono::nanoseconds host_time) = 0;
};

} // namespace tessera::runtime
