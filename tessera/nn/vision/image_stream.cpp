#include "tessera/nn/vision/image_stream.hpp"

#include "tessera/base/error.hpp"

namespace tessera::nn {

ImageStream::ImageStream(VisionModel& model, std::int64_t images, std::int64_t height, std::int64_t width,
                         const Execution& execution)
    : model_(model),
      images_(images),
      trace_(execution.trace),
      two_queues_(execution.two_queues && model.device().command_queues() > 1),
      slots_(two_queues_ ? 2 : 1) {
  base::require(images > 0, "[image_stream] batches of 1 or more images are required; received {}", images);
  for (Slot& slot : slots_) slot.pixels = model.allocate_pixels(model.images_of_copy(images), height, width);
}

void ImageStream::submit(const HostTensor& pixel_values) {
  Slot& slot = slots_[submitted_++ % slots_.size()];
  const Shape& shape = pixel_values.shape;
  base::require(shape.rank() == 4 && 0 < shape[0] && shape[0] <= images_ && shape[1] == model_.info().channels &&
                    shape[2] == slot.pixels.height() && shape[3] == slot.pixels.width(),
                "[image_stream] pixel_values [1 to {}, {}, {}, {}] are required; received {}", images_,
                model_.info().channels, slot.pixels.height(), slot.pixels.width(), shape);
  runtime::MeshDevice& device = model_.device();
  if (two_queues_) {
    {
      const runtime::QueueScope writes(device, 1);
      if (slot.computed.queue >= 0) device.wait_for_event(1, slot.computed);
      model_.write_pixels(slot.pixels, pixel_values);
    }
    device.wait_for_event(0, device.record_event(1));
  } else {
    model_.write_pixels(slot.pixels, pixel_values);
  }
  compute(slot);
  pending_.push_back({model_.begin_read(slot.logits, shape[0]), shape[0]});
  slot.computed = device.record_event(0);
}

void ImageStream::compute(Slot& slot) {
  if (trace_ && slot.has_run) {
    if (!slot.trace.captured()) {
      slot.trace = runtime::Trace(model_.shared_device(), 0, [&] { slot.logits = model_.forward(slot.pixels); });
      slot.logits.rows.acknowledge_corruptible(); // read before the next replay of any trace
    }
    slot.trace.execute(false);
    return;
  }
  slot.logits = model_.forward(slot.pixels);
  slot.has_run = true;
}

HostTensor ImageStream::next() {
  base::require(!pending_.empty(), "[image_stream] a batch must be submitted before its logits are asked for");
  Pending pending = std::move(pending_.front());
  pending_.pop_front();
  HostTensor logits = pending.logits.get();
  logits.shape = {pending.images, logits.shape[-1]};
  return logits;
}

} // namespace tessera::nn
