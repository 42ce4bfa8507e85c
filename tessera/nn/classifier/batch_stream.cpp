#include "tessera/nn/classifier/batch_stream.hpp"

#include "tessera/base/error.hpp"

namespace tessera::nn {

BatchStream::BatchStream(ClassifierModel& model, const Shape& shape, const Execution& execution)
    : model_(model),
      shape_(shape),
      trace_(execution.trace),
      two_queues_(execution.two_queues && model.device().command_queues() > 1),
      slots_(two_queues_ ? 2 : 1) {
  base::require(shape.rank() > 1 && shape[0] > 0,
                "[batch_stream] batches [N, ...] of 1 or more items are required; "
                "received {}",
                shape);
  for (Slot& slot : slots_)
    slot.inputs = model.allocate_inputs(model.items_of_copy(shape[0]), shape.extents().subspan(1));
}

void BatchStream::submit(const HostTensor& inputs) {
  Slot& slot = slots_[submitted_++ % slots_.size()];
  const Shape& shape = inputs.shape;
  base::require(
      shape.rank() == shape_.rank() && 0 < shape[0] && shape[0] <= shape_[0] && shape.with(0, shape_[0]) == shape_,
      "[batch_stream] inputs {} or fewer items of them are required; received {}", shape_, shape);
  runtime::MeshDevice& device = model_.device();
  if (two_queues_) {
    {
      const runtime::QueueScope writes(device, 1);
      if (slot.computed.queue >= 0) device.wait_for_event(1, slot.computed);
      model_.write_inputs(slot.inputs, inputs);
    }
    device.wait_for_event(0, device.record_event(1));
  } else {
    model_.write_inputs(slot.inputs, inputs);
  }
  compute(slot);
  pending_.push_back({model_.begin_read(slot.logits, shape[0]), shape[0]});
  slot.computed = device.record_event(0);
}

void BatchStream::compute(Slot& slot) {
  if (trace_ && slot.has_run) {
    if (!slot.trace.captured()) {
      slot.trace = runtime::Trace(model_.shared_device(), 0, [&] { slot.logits = model_.forward(slot.inputs); });
      slot.logits.rows.acknowledge_corruptible(); // read before the next replay of any trace
    }
    slot.trace.execute(false);
    return;
  }
  slot.logits = model_.forward(slot.inputs);
  slot.has_run = true;
}

HostTensor BatchStream::next() {
  base::require(!pending_.empty(), "[batch_stream] a batch must be submitted before its logits are asked for");
  Pending pending = std::move(pending_.front());
  pending_.pop_front();
  HostTensor logits = pending.logits.get();
  logits.shape = {pending.items, logits.shape[-1]};
  return logits;
}

} // namespace tessera::nn
