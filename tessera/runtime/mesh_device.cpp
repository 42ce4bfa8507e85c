#include "tessera/runtime/mesh_device.hpp"

#include "tessera/base/error.hpp"
#include "tessera/base/thread_pool.hpp"

namespace tessera::runtime {
namespace {

BankAllocator::Layout dram_layout(const BoardSpec& board) {
  return {.name = "DRAM",
          .board = board.name,
          .banks = board.arch.dram_banks,
          .begin = 0,
          .end = board.arch.dram_bytes_per_bank,
          .alignment = board.arch.dram_alignment_bytes,
          .direction = BankAllocator::Direction::BOTTOM_UP};
}

BankAllocator::Layout l1_layout(const BoardSpec& board) {
  return {.name = "L1",
          .board = board.name,
          .banks = board.arch.worker_cores(),
          .begin = board.arch.l1_reserved_bytes_per_core,
          .end = board.arch.l1_bytes_per_core,
          .alignment = board.arch.l1_alignment_bytes,
          .direction = BankAllocator::Direction::TOP_DOWN};
}

} // namespace

Buffer::Buffer(std::shared_ptr<MeshDevice> device, BufferType type, std::int64_t address)
    : device_(std::move(device)), type_(type), address_(address) {}

Buffer::~Buffer() {
  device_->free(type_, address_);
}

std::shared_ptr<MeshDevice> MeshDevice::open(MeshDeviceOptions options) {
  base::require<base::Unsupported>(
      options.numerics == Numerics::NATIVE,
      "[open device] numerics native is required; received exact, which is not built yet; use --numerics native");
  base::require(options.threads >= 0, "[open device] threads must be 0 (all) or more; received {}", options.threads);
  if (options.threads == 0) options.threads = base::ThreadPool::shared().threads();
  return std::shared_ptr<MeshDevice>(new MeshDevice(std::move(options)));
}

MeshDevice::MeshDevice(MeshDeviceOptions options)
    : options_(std::move(options)), dram_(dram_layout(options_.board)), l1_(l1_layout(options_.board)) {
  if (options_.mode == RunMode::EXECUTE) {
    const ArchSpec& arch = options_.board.arch;
    dram_memory_ = DeviceMemory(chips(), arch.dram_banks, arch.dram_bytes_per_bank);
    l1_memory_ = DeviceMemory(chips(), arch.worker_cores(), arch.l1_bytes_per_core);
  }
  queue_ = std::make_unique<CommandQueue>(*this, chips(), options_.threads, options_.mode == RunMode::RECORD);
}

MeshDevice::~MeshDevice() = default;

std::shared_ptr<Buffer> MeshDevice::allocate(const TensorSpec& spec, std::string_view name) {
  validate(spec);
  base::require<base::Unsupported>(spec.memory_config.memory_layout == TensorMemoryLayout::INTERLEAVED,
                                   "[allocate] INTERLEAVED placement is required; received {}",
                                   to_string(spec.memory_config));
  const BufferType type = spec.memory_config.buffer_type;
  AllocationLabel label{.kind = memory_kind_,
                        .name = scope_.empty() ? std::string(name) : fmt::format("{}.{}", scope_, name)};
  std::lock_guard lock(allocation_mutex_);
  BankAllocator& allocator = type == BufferType::DRAM ? dram_ : l1_;
  const std::int64_t address = allocator.allocate(spec.num_pages(), spec.page_bytes(), label);
  return std::make_shared<Buffer>(shared_from_this(), type, address);
}

void MeshDevice::free(BufferType type, std::int64_t address) {
  std::lock_guard lock(allocation_mutex_);
  (type == BufferType::DRAM ? dram_ : l1_).free(address);
}

Scope::Scope(MeshDevice& device, std::string_view name) : device_(device), outer_length_(device.scope_.size()) {
  if (outer_length_ > 0) device.scope_ += '.';
  device.scope_ += name;
}

Scope::~Scope() {
  device_.scope_.resize(outer_length_);
}

MemoryKindScope::MemoryKindScope(MeshDevice& device, MemoryKind kind) : device_(device), outer_(device.memory_kind_) {
  device.memory_kind_ = kind;
}

MemoryKindScope::~MemoryKindScope() {
  device_.memory_kind_ = outer_;
}

} // namespace tessera::runtime
