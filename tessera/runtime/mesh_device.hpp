#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tessera/runtime/allocator.hpp"
#include "tessera/runtime/buffer.hpp"
#include "tessera/runtime/command_queue.hpp"
#include "tessera/runtime/communicator.hpp"
#include "tessera/runtime/device_memory.hpp"
#include "tessera/runtime/event.hpp"
#include "tessera/runtime/host_bytes.hpp"
#include "tessera/runtime/submesh.hpp"
#include "tessera/runtime/trace.hpp"
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
  /// DRAM and L1 have no end, while ops choose their blocks as if they had: to learn what a model that does not fit
  /// would need. RECORD only.
  bool unlimited_memory = false;
  int threads = 0; ///< host threads for kernels of a queue, its own included; 0: one for each hardware thread
  /// Binds the threads to processors: for machines whose memory belongs to processors (NUMA).
  bool pin_threads = false;
  int command_queues = 1; ///< 1 or 2
  /// Bytes of each chip's DRAM that are kept for traces; 0: taken from free DRAM trace by trace.
  std::int64_t trace_region_size = 0;
  /// The process's place among several that run this mesh together, each rank an equal run of its chips in row-major
  /// order; none: this process runs all. See Communicator.
  std::shared_ptr<Communicator> communicator;
};

/// Chips that act as one: an op runs on every chip's local part of its tensors. A single chip is a 1x1 mesh.
class MeshDevice : public std::enable_shared_from_this<MeshDevice> {
 public:
  /// Throws InvalidArgument for impossible options, Unsupported for what is not built, OutOfMemory when the process
  /// cannot reserve the card's address space.
  static std::shared_ptr<MeshDevice> open(MeshDeviceOptions options = {});
  ~MeshDevice();

  /// A device of its own over some of the chips, with the same options: its memory, queues, traces and program cache.
  /// While a submesh lives, its parent may neither allocate nor enqueue. Throws InvalidArgument for chips that the mesh
  /// lacks or another submesh has, and while the mesh holds tensors.
  std::shared_ptr<MeshDevice> create_submesh(std::int64_t rows, std::int64_t columns, std::int64_t first_row = 0,
                                             std::int64_t first_column = 0);
  /// The whole mesh in equal parts, in row-major order. Throws InvalidArgument too unless they fit without a rest.
  std::vector<std::shared_ptr<MeshDevice>> create_submeshes(std::int64_t rows, std::int64_t columns);

  /// The board with the mesh's own shape.
  const BoardSpec& board() const { return options_.board; }
  /// For messages and reports: the board's name, and of a submesh where it lies: "t3000[0,0 1x4]".
  const std::string& name() const { return name_; }
  std::int64_t chips() const { return options_.board.chips(); }
  /// This process's rank and how many there are: rank 0 of 1 where no others take part.
  int rank() const { return options_.communicator ? options_.communicator->rank() : 0; }
  int ranks() const { return options_.communicator ? options_.communicator->ranks() : 1; }
  Communicator* communicator() const { return options_.communicator.get(); }
  /// The rank that computes a chip's part.
  int rank_of(std::int64_t chip) const { return rank_of_chip_[static_cast<std::size_t>(chip)]; }
  bool is_local(std::int64_t chip) const { return rank_of(chip) == rank(); }
  /// The chips of this rank, which are neighbours in row-major order; a submesh may have none.
  std::int64_t first_local_chip() const;
  std::int64_t local_chips() const;
  /// Whether each chip of another mesh of the same shape is computed on the rank of this mesh's.
  bool has_ranks_of(const MeshDevice& other) const { return rank_of_chip_ == other.rank_of_chip_; }
  RunMode mode() const { return options_.mode; }
  Numerics numerics() const { return options_.numerics; }
  std::int64_t trace_region_size() const { return options_.trace_region_size; }

  /// The queue that ops and transfers go to: number 0 unless a QueueScope says otherwise.
  CommandQueue& queue() { return *queues_[static_cast<std::size_t>(current_queue_)]; }
  /// Throws InvalidArgument for a queue that the device was not opened with.
  CommandQueue& queue(int id);
  int command_queues() const { return static_cast<int>(queues_.size()); }

  /// Waits until all work of one queue, or of all queues, has ended; rethrows the first error. The device is usable
  /// afterwards.
  void synchronize(int queue);
  void synchronize();
  /// The point in a queue's work that is reached when all that it has been given so far has ended.
  Event record_event(int queue = 0);
  /// What `queue` is given from here on begins after the event. Returns at once. Throws InvalidArgument for an event
  /// that was never recorded, or on another device: the queue would wait for ever. When the work before the event
  /// fails, so does the wait.
  void wait_for_event(int queue, const Event& event);
  /// Waits on the host; rethrows the first error of the event's queue.
  void synchronize_event(const Event& event);

  /// From here on the ops of `queue` are not run but frozen: kernels, addresses, shapes, arguments. Until
  /// end_trace_capture nothing may be written, read, waited for or recorded as an event on it, and each op must have
  /// run with the same shapes before.
  TraceId begin_trace_capture(int queue = 0);
  /// Throws OutOfMemory, with the size needed, when the trace does not fit the trace region; it is gone then.
  void end_trace_capture(TraceId id);
  /// Queues all ops of a trace, with no work for each on the host; waits for its end when `blocking`. Where it writes
  /// what another queue may still use, it waits for that first. Throws
  /// InvalidArgument for an unknown trace, DeviceError when it would overwrite a buffer that was allocated after the
  /// capture (and is not acknowledged as corruptible): both allocation sites are named.
  void execute_trace(TraceId id, int queue = 0, bool blocking = true);
  /// Frees a trace, or gives up its capture.
  void release_trace(TraceId id);

  /// Waits for the queued work, then adds the observer to all queues, or removes it.
  void add_observer(QueueObserver& observer);
  void remove_observer(QueueObserver& observer);

  /// Memory for a tensor, labelled with the current module scope, `name` and memory kind. Throws OutOfMemory.
  std::shared_ptr<Buffer> allocate(const TensorSpec& spec, std::string_view name);
  /// The same for what no op writes to: chips that have the same bytes read them from one place on the host. Throws
  /// InvalidArgument for a sharing that the mesh cannot have.
  std::shared_ptr<Buffer> allocate(const TensorSpec& spec, std::string_view name, const Sharing& sharing);
  /// The same for what holds another buffer's bytes, which live as long. Waits for all that is queued on the other
  /// buffer's device, so that the bytes are there. Throws InvalidArgument unless both meshes have one shape.
  std::shared_ptr<Buffer> allocate_alias(const TensorSpec& spec, std::string_view name,
                                         std::shared_ptr<const Buffer> original);
  /// Where the bytes of a buffer at `address` lie on the host.
  HostBytes host_bytes(BufferType type, std::int64_t address) const;
  const BankAllocator& allocator(BufferType type) const { return type == BufferType::DRAM ? dram_ : l1_; }
  /// Bytes of a chip's memory, of all banks together: the board's, whether or not memory is limited to it.
  std::int64_t capacity_bytes(BufferType type) const {
    const ArchSpec& arch = options_.board.arch;
    return type == BufferType::DRAM ? arch.dram_bytes() : arch.l1_bytes();
  }
  const DeviceMemory& memory(BufferType type) const { return type == BufferType::DRAM ? dram_memory_ : l1_memory_; }
  /// A file in the place of DRAM, see DeviceMemory. REQUIRES: execute mode; no queued work uses these bytes.
  bool map_file(std::int64_t begin, std::int64_t bytes, int file, std::int64_t offset) {
    return dram_memory_.map_file(begin, bytes, file, offset);
  }
  void unmap_file(std::int64_t begin, std::int64_t bytes) { dram_memory_.unmap_file(begin, bytes); }

  /// Keys of the programs that have run: the card compiles a program when it first meets it, and cannot while it
  /// captures.
  std::unordered_set<std::uint64_t>& program_cache() { return program_cache_; }

  /// How full a core's L1 was when some program ran. On the card all cores are alike: circular buffers grow from the
  /// bottom, and tensors, which lie in lock step, from the top.
  struct L1Fill {
    std::int64_t circular_buffer_bytes = 0;
    std::int64_t tensor_bytes = 0; ///< from the lowest tensor to the top, holes included
    std::string place;             ///< the program: "linear in layers.3.mlp"

    std::int64_t bytes() const { return circular_buffer_bytes + tensor_bytes; }
  };
  /// What tensors take of L1 now, as L1Fill counts it.
  std::int64_t l1_tensor_bytes() const;
  /// L1 is so full while the program runs.
  void note_l1(const L1Fill& fill, const Program& program);
  /// Since the device was opened, or since the last reset.
  const L1Fill& fullest_l1() const { return fullest_l1_; }
  void reset_fullest_l1() { fullest_l1_ = {}; }
  /// Bytes of a core's circular buffers, by the program's key and the room that they are fitted to: known from the
  /// first time that both are met.
  std::unordered_map<std::uint64_t, std::int64_t>& circular_buffer_bytes() { return circular_buffer_bytes_; }

  /// Path of the module whose forward function runs: "layers.3.attention".
  const std::string& scope() const { return scope_; }

 private:
  friend class Buffer;
  friend class CommandQueue;
  friend class Scope;
  friend class MemoryKindScope;
  friend class QueueScope;
  friend class TraceTable;

  MeshDevice(MeshDeviceOptions options, std::string name, std::vector<int> rank_of_chip, int number);
  BankAllocator& allocator_of(BufferType type) { return type == BufferType::DRAM ? dram_ : l1_; }
  std::shared_ptr<Buffer> take_memory(const TensorSpec& spec, std::string_view name, const Sharing& sharing,
                                      std::shared_ptr<const Buffer> original);
  void free(BufferType type, std::int64_t address, const QueueMarks& used);
  /// Waits until all queues are idle, leaving their errors to `synchronize`. Returns at once on a queue's thread.
  void drain();
  std::int64_t allocate_trace_memory(std::int64_t bytes, std::string name);
  void free_trace_memory(std::int64_t address);
  void check_event(std::string_view function, const Event& event) const;
  void learn(int queue, int other, std::uint64_t number);
  std::uint64_t known(int queue, int other) const {
    return known_[static_cast<std::size_t>(queue)][static_cast<std::size_t>(other)];
  }
  /// Queues a wait, unless the queue comes after that command as it is.
  void wait_for_command(int queue, int other, std::uint64_t number);

  MeshDeviceOptions options_;
  const std::string name_;
  const std::vector<int> rank_of_chip_; // ascending
  std::shared_ptr<MeshDevice> parent_;  // of a submesh
  SubmeshTable submeshes_;
  mutable std::mutex allocation_mutex_; // a buffer's last owner may be an observer on the queue's thread
  BankAllocator dram_;
  BankAllocator l1_;
  DeviceMemory dram_memory_;
  DeviceMemory l1_memory_;
  std::map<std::pair<BufferType, std::int64_t>, HostBytes> shared_; // of shared buffers, by address
  std::string scope_;
  MemoryKind memory_kind_ = MemoryKind::ACTIVATIONS;
  std::unordered_set<std::uint64_t> program_cache_;
  std::unordered_map<std::uint64_t, std::int64_t> circular_buffer_bytes_;
  L1Fill fullest_l1_;
  int current_queue_ = 0;
  /// known_[r][q]: the next command of queue r comes after this command of queue q.
  std::array<QueueMarks, kMaxQueues> known_{};
  TraceTable traces_{*this};
  std::vector<std::unique_ptr<CommandQueue>> queues_; // last: their threads use all of the above
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

/// Ops and transfers go to this queue while it lives.
class QueueScope {
 public:
  QueueScope(MeshDevice& device, int queue);
  ~QueueScope();
  QueueScope(const QueueScope&) = delete;
  QueueScope& operator=(const QueueScope&) = delete;

 private:
  MeshDevice& device_;
  int outer_;
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
