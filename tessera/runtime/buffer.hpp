#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "tessera/runtime/allocator.hpp"
#include "tessera/runtime/host_bytes.hpp"
#include "tessera/spec/tensor_spec.hpp"

namespace tessera::runtime {

class MeshDevice;

/// Device memory of one tensor: the same address on every chip of the mesh. Freed with the last owner, for the queues
/// that used it to use again. One that shares its bytes waits for these queues first: the bytes may be another
/// device's.
class Buffer {
 public:
  /// `original`: the buffer whose bytes these are; null for bytes of its own.
  Buffer(std::shared_ptr<MeshDevice> device, BufferType type, std::int64_t address, const HostBytes& bytes,
         std::shared_ptr<const Buffer> original);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  MeshDevice& device() const { return *device_; }
  BufferType type() const { return type_; }
  std::int64_t address() const { return address_; }
  const HostBytes& bytes() const { return bytes_; }
  /// Whether several chips or devices read the same bytes, so that no op may write them.
  bool is_shared() const { return bytes_.sharing.shares() || original_ != nullptr; }
  /// Whether it holds bytes of another buffer: nothing is written through it.
  bool is_alias() const { return original_ != nullptr; }
  /// Tells that the device's current queue uses the memory.
  void note_use();
  /// Lets replays of traces go on that overwrite this memory.
  void acknowledge_corruptible();

 private:
  std::shared_ptr<MeshDevice> device_;
  BufferType type_;
  std::int64_t address_;
  HostBytes bytes_;
  std::shared_ptr<const Buffer> original_;
  std::array<std::atomic<bool>, kMaxQueues> used_by_{};
};

} // namespace tessera::runtime
