#pragma once

#include <cstdint>
#include <memory>

namespace tessera::runtime {

class MeshDevice;

/// A point in a queue's work: it has come when all that was queued before it has ended. Made by
/// MeshDevice::record_event; a cheap value.
struct Event {
  std::weak_ptr<MeshDevice> device;
  int queue = -1;           ///< -1: never recorded
  std::uint64_t number = 0; ///< commands that the queue had taken
};

} // namespace tessera::runtime
