#include "tessera/runtime/buffer.hpp"

#include <utility>

#include "tessera/runtime/mesh_device.hpp"

namespace tessera::runtime {

Buffer::Buffer(std::shared_ptr<MeshDevice> device, BufferType type, std::int64_t address, const HostBytes& bytes,
               std::shared_ptr<const Buffer> original)
    : device_(std::move(device)), type_(type), address_(address), bytes_(bytes), original_(std::move(original)) {}

Buffer::~Buffer() {
  QueueMarks used{};
  if (device_->command_queues() > 1) {
    for (std::size_t queue = 0; queue < used.size(); ++queue) {
      if (used_by_[queue]) used[queue] = device_->queues_[queue]->submitted();
    }
  }
  if (is_shared()) device_->drain();
  device_->free(type_, address_, used);
}

void Buffer::note_use() {
  used_by_[static_cast<std::size_t>(device_->current_queue_)].store(true, std::memory_order_relaxed);
}

void Buffer::acknowledge_corruptible() {
  std::lock_guard lock(device_->allocation_mutex_);
  device_->allocator_of(type_).set_corruptible(address_);
}

} // namespace tessera::runtime
