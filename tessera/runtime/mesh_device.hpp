#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "tessera/runtime/allocator.hpp"
#include "tessera/runtime/command_queue.hpp"
#include "tessera/runtime/device_memory.hpp"
#include "tessera/spec/board_spec.hpp"
#include "tessera/spec/tensor_spec.hpp"

namespace tessera::runtime {

/// EXECUTE: kernels run on data. RECORD: shapes, addresses and op records only; no data, no host memory.
enum class RunMode { EXECUTE, RECORD };

/// NATIVE: the card's stored formats with the host's best arithmetic. EXACT: the card's arithmetic bit for bit.
enum class Numerics { NATIVE, EXACT };

struct MeshDeviceOptions {
  BoardSpec board = tessera::board("n150"); ///< the mesh has the board's shape
  Numerics numerics = Numerics::NATIVE;
  RunMode mode = RunMode::EXECUTE;
  int threads = 0; ///< host threads for kernels, the queue's own included; 0: one for each hardware thread
};

class MeshDevice;

/// Device memory of one tensor: the same address on every chip of the mesh. Freed with the last owner.
class Buffer {
 public:
  Buffer(std::shared_ptr<MeshDevice> device, BufferType type, std::int64_t address);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  MeshDevice& device() const { return *device_; }
  BufferType type() const { return type_; }
  std::int64_t address() const { return address_; }

 private:
  std::shared_ptr<MeshDevice> device_;
  BufferType type_;
  std::int64_t address_;
};

/// Chips that act as one: an op runs on every chip's local part of its tensors. A single chip is a 1x1 mesh.
class MeshDevice : public std::enable_shared_from_this<MeshDevice> {
 public:
  /// Throws InvalidArgument for impossible options, Unsupported for what is not built, OutOfMemory when the process
  /// cannot reserve the card's address space.
  static std::shared_ptr<MeshDevice> open(MeshDeviceOptions options = {});
  ~MeshDevice();

  const BoardSpec& board() const { return options_.board; }
  std::int64_t chips() const { return options_.board.chips(); }
  RunMode mode() const { return options_.mode; }
  CommandQueue& queue() { return *queue_; }
  void synchronize() { queue_->synchronize(); }

  /// Memory for a tensor, labelled with the current module scope, `name` and memory kind. Throws OutOfMemory.
  std::shared_ptr<Buffer> allocate(const TensorSpec& spec, std::string_view name);
  const BankAllocator& allocator(BufferType type) const { return type == BufferType::DRAM ? dram_ : l1_; }
  const DeviceMemory& memory(BufferType type) const { return type == BufferType::DRAM ? dram_memory_ : l1_memory_; }
  /// A file in the place of DRAM, see DeviceMemory. REQUIRES: execute mode; no queued work uses these bytes.
  bool map_file(std::int64_t begin, std::int64_t bytes, int file, std::int64_t offset) {
    return dram_memory_.map_file(begin, bytes, file, offset);
  }
  void unmap_file(std::int64_t begin, std::int64_t bytes) { dram_memory_.unmap_file(begin, bytes); }

  /// Path of the module whose forward function runs: "layers.3.attention".
  const std::string& scope() const { return scope_; }

 private:
  friend class Buffer;
  friend class Scope;
  friend class MemoryKindScope;

  explicit MeshDevice(MeshDeviceOptions options);
  void free(BufferType type, std::int64_t address);

  MeshDeviceOptions options_;
  std::mutex allocation_mutex_; // a buffer's last owner may be an observer on the queue's thread
  BankAllocator dram_;
  BankAllocator l1_;
  DeviceMemory dram_memory_;
  DeviceMemory l1_memory_;
  std::string scope_;
  MemoryKind memory_kind_ = MemoryKind::ACTIVATIONS;
  std::unique_ptr<CommandQueue> queue_; // last: its thread uses all of the above
};

/// Names the module whose ops are enqueued while it lives; nests: "layers.3" then "attention" is "layers.3.attention".
class Scope {
 public:
  Scope(MeshDevice& device, std::string_view name);
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  MeshDevice& device_;
  std::size_t outer_length_;
};

/// What memory allocated while it lives counts as; ACTIVATIONS outside.
class MemoryKindScope {
 public:
  MemoryKindScope(MeshDevice& device, MemoryKind kind);
  ~MemoryKindScope();
  MemoryKindScope(const MemoryKindScope&) = delete;
  MemoryKindScope& operator=(const MemoryKindScope&) = delete;

 private:
  MeshDevice& device_;
  MemoryKind outer_;
};

} // namespace tessera::runtime
