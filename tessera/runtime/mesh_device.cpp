#include "tessera/runtime/mesh_device.hpp"

#include <algorithm>
#include <utility>

#include "tessera/base/error.hpp"
#include "tessera/base/thread_pool.hpp"
#include "tessera/spec/shape.hpp"
#include "tessera/spec/sharding.hpp"

namespace tessera::runtime {
namespace {

constexpr std::int64_t kUnlimited = std::int64_t{1} << 50; // bytes of a bank

BankAllocator::Layout dram_layout(const MeshDeviceOptions& options, const std::string& device) {
  const BoardSpec& board = options.board;
  return {.name = "DRAM",
          .board = device,
          .banks = board.arch.dram_banks,
          .begin = 0,
          .end = options.unlimited_memory ? kUnlimited : board.arch.dram_bytes_per_bank,
          .alignment = board.arch.dram_alignment_bytes,
          .direction = BankAllocator::Direction::BOTTOM_UP};
}

BankAllocator::Layout l1_layout(const MeshDeviceOptions& options, const std::string& device) {
  const BoardSpec& board = options.board;
  return {.name = "L1",
          .board = device,
          .banks = board.arch.worker_cores(),
          .begin = board.arch.l1_reserved_bytes_per_core,
          .end = options.unlimited_memory ? kUnlimited : board.arch.l1_bytes_per_core,
          .alignment = board.arch.l1_alignment_bytes,
          .direction = BankAllocator::Direction::TOP_DOWN};
}

} // namespace

std::shared_ptr<MeshDevice> MeshDevice::open(MeshDeviceOptions options) {
  base::require(options.threads >= 0, "[open device] threads must be 0 (all) or more; received {}", options.threads);
  base::require(1 <= options.command_queues && options.command_queues <= kMaxQueues,
                "[open device] command_queues must be 1 or 2; received {}", options.command_queues);
  base::require(options.trace_region_size >= 0,
                "[open device] trace_region_size must be 0 (as needed) or more bytes; received {}",
                options.trace_region_size);
  base::require(!options.unlimited_memory || options.mode == RunMode::RECORD,
                "[open device] unlimited_memory requires the mode RECORD: there is no memory behind it");
  if (options.threads == 0) options.threads = base::ThreadPool::shared().threads();
  const std::int64_t chips = options.board.chips();
  const std::int64_t ranks = options.communicator ? options.communicator->ranks() : 1;
  base::require(chips % ranks == 0,
                "[open device] a number of ranks that divides the {} chips of {} is required; received {}", chips,
                options.board.name, ranks);
  std::vector<int> rank_of_chip;
  for (std::int64_t chip = 0; chip < chips; ++chip) rank_of_chip.push_back(static_cast<int>(chip / (chips / ranks)));
  std::string name = options.board.name;
  return std::shared_ptr<MeshDevice>(new MeshDevice(std::move(options), std::move(name), std::move(rank_of_chip), 0));
}

std::int64_t MeshDevice::first_local_chip() const {
  return std::ranges::lower_bound(rank_of_chip_, rank()) - rank_of_chip_.begin();
}

std::int64_t MeshDevice::local_chips() const {
  return std::ranges::count(rank_of_chip_, rank());
}

MeshDevice::MeshDevice(MeshDeviceOptions options, std::string name, std::vector<int> rank_of_chip, int number)
    : options_(std::move(options)),
      name_(std::move(name)),
      rank_of_chip_(std::move(rank_of_chip)),
      dram_(dram_layout(options_, name_)),
      l1_(l1_layout(options_, name_)) {
  if (options_.mode == RunMode::EXECUTE) {
    const ArchSpec& arch = options_.board.arch;
    dram_memory_ = DeviceMemory(chips(), arch.dram_banks, arch.dram_bytes_per_bank);
    l1_memory_ = DeviceMemory(chips(), arch.worker_cores(), arch.l1_bytes_per_core);
  }
  if (options_.trace_region_size > 0) allocate_trace_memory(options_.trace_region_size, "trace region");
  if (options_.pin_threads) base::ThreadPool::shared().pin_workers();
  for (int id = 0; id < options_.command_queues; ++id) {
    const int processor = number * options_.command_queues + id;
    queues_.push_back(
        std::make_unique<CommandQueue>(*this, CommandQueue::Options{.id = id,
                                                                    .chips = chips(),
                                                                    .first_local_chip = first_local_chip(),
                                                                    .local_chips = local_chips(),
                                                                    .threads = options_.threads,
                                                                    .processor = options_.pin_threads ? processor : -1,
                                                                    .record_only = options_.mode == RunMode::RECORD}));
  }
}

MeshDevice::~MeshDevice() {
  // All before any goes: one may wait for another, and uses it until its own thread has ended.
  for (const auto& queue : queues_) queue->stop();
  for (const auto& queue : queues_) queue->join();
}

std::shared_ptr<MeshDevice> MeshDevice::create_submesh(std::int64_t rows, std::int64_t columns, std::int64_t first_row,
                                                       std::int64_t first_column) {
  const MeshRegion region{rows, columns, first_row, first_column};
  submeshes_.require_free(name_, board(), region);
  {
    std::lock_guard lock(allocation_mutex_);
    for (const BankAllocator* allocator : {&dram_, &l1_}) {
      for (const auto& [address, allocation] : allocator->allocations()) {
        base::require(
            allocation.label.kind == MemoryKind::TRACE,
            "[create_submesh] a mesh without tensors is required; {} holds {}; free it before the mesh is cut", name_,
            allocation.label.name);
      }
    }
  }
  MeshDeviceOptions options = options_;
  options.board.mesh_rows = rows;
  options.board.mesh_columns = columns;
  std::vector<int> ranks;
  for (std::int64_t row = first_row; row < first_row + rows; ++row) {
    for (std::int64_t column = first_column; column < first_column + columns; ++column)
      ranks.push_back(rank_of(row * board().mesh_columns + column));
  }
  const auto number = static_cast<int>(submeshes_.count());
  const std::shared_ptr<MeshDevice> submesh(
      new MeshDevice(std::move(options), name_ + to_string(region), std::move(ranks), number));
  submesh->parent_ = shared_from_this();
  submeshes_.add(region, submesh);
  return submesh;
}

std::vector<std::shared_ptr<MeshDevice>> MeshDevice::create_submeshes(std::int64_t rows, std::int64_t columns) {
  base::require(rows >= 1 && columns >= 1 && board().mesh_rows % rows == 0 && board().mesh_columns % columns == 0,
                "[create_submeshes] extents that divide the {}x{} of {} are required; received {}x{}",
                board().mesh_rows, board().mesh_columns, name_, rows, columns);
  std::vector<std::shared_ptr<MeshDevice>> result;
  for (std::int64_t row = 0; row < board().mesh_rows; row += rows) {
    for (std::int64_t column = 0; column < board().mesh_columns; column += columns)
      result.push_back(create_submesh(rows, columns, row, column));
  }
  return result;
}

std::shared_ptr<Buffer> MeshDevice::allocate(const TensorSpec& spec, std::string_view name) {
  return take_memory(spec, name, {}, nullptr);
}

std::shared_ptr<Buffer> MeshDevice::allocate(const TensorSpec& spec, std::string_view name, const Sharing& sharing) {
  const std::int64_t blocks = std::int64_t{sharing.divisor} * sharing.modulus;
  base::require(1 <= sharing.divisor && blocks <= chips(),
                "[allocate] a sharing whose blocks times neighbours are at most the {} chips is required; received {} "
                "blocks of {} neighbours",
                chips(), sharing.modulus, sharing.divisor);
  return take_memory(spec, name, blocks == chips() && sharing.divisor == 1 ? Sharing{} : sharing, nullptr);
}

std::shared_ptr<Buffer> MeshDevice::allocate_alias(const TensorSpec& spec, std::string_view name,
                                                   std::shared_ptr<const Buffer> original) {
  MeshDevice& other = original->device();
  base::require(other.mode() == mode() && other.board().mesh_rows == board().mesh_rows &&
                    other.board().mesh_columns == board().mesh_columns,
                "[share] {} holds a tensor of another device: both need the same mesh and mode; received {}x{} "
                "and {}x{}",
                name, board().mesh_rows, board().mesh_columns, other.board().mesh_rows, other.board().mesh_columns);
  base::require(has_ranks_of(other),
                "[share] {} holds a tensor of another device: the chips of both must be of the same ranks; {} and {} "
                "are not; fill a tensor of each",
                name, name_, other.name());
  other.synchronize();
  const Sharing sharing = original->bytes().sharing;
  return take_memory(spec, name, sharing, std::move(original));
}

std::shared_ptr<Buffer> MeshDevice::take_memory(const TensorSpec& spec, std::string_view name, const Sharing& sharing,
                                                std::shared_ptr<const Buffer> original) {
  submeshes_.require_none("allocate", name_);
  validate(spec, board().arch);
  const BufferType type = spec.memory_config.buffer_type;
  const bool shared = sharing.shares() || original != nullptr;
  // An observer may still have to see what lay there.
  if (shared && std::ranges::any_of(queues_, [](const auto& queue) { return queue->observed(); })) drain();
  AllocationLabel label{.kind = memory_kind_,
                        .name = scope_.empty() ? std::string(name) : fmt::format("{}.{}", scope_, name)};
  std::lock_guard lock(allocation_mutex_);
  if (command_queues() > 1) traces_.note_replays(current_queue_);
  BankAllocator& allocator = allocator_of(type);
  const PagesInBanks needed = pages_in_banks(spec, allocator.layout().banks);
  const std::int64_t address =
      allocator.allocate(needed.pages, needed.page_bytes, label,
                         {.queue = current_queue_, .seen = known_[static_cast<std::size_t>(current_queue_)]});
  HostBytes bytes = original != nullptr ? original->bytes()
                                        : HostBytes{memory(type).at(address), memory(type).chip_stride(), sharing};
  if (shared) shared_[{type, address}] = bytes;
  return std::make_shared<Buffer>(shared_from_this(), type, address, bytes, std::move(original));
}

HostBytes MeshDevice::host_bytes(BufferType type, std::int64_t address) const {
  std::lock_guard lock(allocation_mutex_);
  const auto shared = shared_.find({type, address});
  if (shared != shared_.end()) return shared->second;
  return {memory(type).at(address), memory(type).chip_stride(), {}};
}

std::int64_t MeshDevice::l1_tensor_bytes() const {
  std::lock_guard lock(allocation_mutex_);
  const auto& tensors = l1_.allocations();
  return tensors.empty() ? 0 : l1_.layout().end - tensors.begin()->first;
}

void MeshDevice::note_l1(const L1Fill& fill, const Program& program) {
  if (fill.bytes() <= fullest_l1_.bytes()) return;
  fullest_l1_ = fill;
  fullest_l1_.place = place_of(program);
}

void MeshDevice::free(BufferType type, std::int64_t address, const QueueMarks& used) {
  std::lock_guard lock(allocation_mutex_);
  shared_.erase({type, address});
  allocator_of(type).free(address, used);
}

void MeshDevice::drain() {
  // One queue's thread may be what the other queue waits for.
  if (std::ranges::any_of(queues_, [](const auto& queue) { return queue->on_own_thread(); })) return;
  for (const auto& queue : queues_) queue->drain();
}

std::int64_t MeshDevice::allocate_trace_memory(std::int64_t bytes, std::string name) {
  std::lock_guard lock(allocation_mutex_);
  const std::int64_t page = options_.board.arch.dram_alignment_bytes;
  return dram_.allocate_from_far_end(div_up(bytes, page), page, {MemoryKind::TRACE, std::move(name)});
}

void MeshDevice::free_trace_memory(std::int64_t address) {
  free(BufferType::DRAM, address, {});
}

CommandQueue& MeshDevice::queue(int id) {
  base::require(0 <= id && id < command_queues(), "[queue] a queue in 0..{} is required; received {}{}",
                command_queues() - 1, id,
                command_queues() < kMaxQueues ? "; open the device with command_queues 2" : "");
  return *queues_[static_cast<std::size_t>(id)];
}

void MeshDevice::learn(int queue, int other, std::uint64_t number) {
  if (queue == other) return;
  std::uint64_t& known = known_[static_cast<std::size_t>(queue)][static_cast<std::size_t>(other)];
  known = std::max(known, number);
  // What a queue used is anybody's once the other queue, of two, comes after it.
  std::lock_guard lock(allocation_mutex_);
  for (BankAllocator* allocator : {&dram_, &l1_}) allocator->settle({known_[1][0], known_[0][1]});
}

void MeshDevice::synchronize(int id) {
  const std::uint64_t number = queue(id).submitted();
  queue(id).synchronize();
  for (int other = 0; other < command_queues(); ++other) learn(other, id, number);
}

void MeshDevice::synchronize() {
  std::exception_ptr first;
  for (int id = 0; id < command_queues(); ++id) {
    try {
      synchronize(id);
    } catch (const base::DeviceError&) {
      // A later queue's failure is mostly that it waited for this one.
      if (first == nullptr) first = std::current_exception();
    }
  }
  if (first != nullptr) std::rethrow_exception(first);
}

Event MeshDevice::record_event(int id) {
  queue(id).require_no_capture("record_event");
  return {.device = weak_from_this(), .queue = id, .number = queue(id).submitted()};
}

void MeshDevice::check_event(std::string_view function, const Event& event) const {
  base::require(event.queue >= 0,
                "[{}] an event that record_event made is required: one that was never recorded never comes", function);
  base::require(event.device.lock().get() == this,
                "[{}] an event of this device is required; event {} of queue {} belongs to another device", function,
                event.number, event.queue);
}

void MeshDevice::wait_for_event(int id, const Event& event) {
  check_event("wait_for_event", event);
  queue(id).require_no_capture("wait_for_event");
  if (event.queue == id) return; // a queue is in order
  queue(id).enqueue_wait(queue(event.queue), event.number);
  learn(id, event.queue, event.number);
}

void MeshDevice::wait_for_command(int id, int other, std::uint64_t number) {
  if (number <= known(id, other)) return;
  queue(id).enqueue_wait(queue(other), number);
  learn(id, other, number);
}

void MeshDevice::synchronize_event(const Event& event) {
  check_event("synchronize_event", event);
  queue(event.queue).require_no_capture("synchronize_event");
  queue(event.queue).synchronize(event.number);
  for (int other = 0; other < command_queues(); ++other) learn(other, event.queue, event.number);
}

TraceId MeshDevice::begin_trace_capture(int id) {
  return traces_.begin(queue(id).id());
}

void MeshDevice::end_trace_capture(TraceId id) {
  traces_.end(id);
}

void MeshDevice::execute_trace(TraceId id, int queue_id, bool blocking) {
  traces_.replay(id, queue(queue_id).id());
  if (blocking) synchronize(queue_id);
}

void MeshDevice::release_trace(TraceId id) {
  traces_.release(id);
}

void MeshDevice::add_observer(QueueObserver& observer) {
  for (const auto& queue : queues_) queue->add_observer(observer);
}

void MeshDevice::remove_observer(QueueObserver& observer) {
  for (const auto& queue : queues_) queue->remove_observer(observer);
}

Scope::Scope(MeshDevice& device, std::string_view name) : device_(device), outer_length_(device.scope_.size()) {
  if (outer_length_ > 0) device.scope_ += '.';
  device.scope_ += name;
}

Scope::~Scope() {
  device_.scope_.resize(outer_length_);
}

QueueScope::QueueScope(MeshDevice& device, int queue) : device_(device), outer_(device.current_queue_) {
  device.current_queue_ = device.queue(queue).id();
}

QueueScope::~QueueScope() {
  device_.current_queue_ = outer_;
}

MemoryKindScope::MemoryKindScope(MeshDevice& device, MemoryKind kind) : device_(device), outer_(device.memory_kind_) {
  device.memory_kind_ = kind;
}

MemoryKindScope::~MemoryKindScope() {
  device_.memory_kind_ = outer_;
}

} // namespace tessera::runtime
