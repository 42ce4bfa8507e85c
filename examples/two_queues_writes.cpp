// Ops and reads on queue 0, writes on queue 1: the next input is on its way while the model runs.

#include <fmt/format.h>

#include "examples/model.hpp"

using namespace tessera;

int main() {
  const auto device = runtime::MeshDevice::open({.command_queues = 2});
  const examples::Model model(*device);
  const tensor::Tensor input = tensor::zeros(*device, examples::kSpec, "input"); // queue 1 writes it, queue 0 reads it

  std::vector<tensor::Read<tensor::HostTensor>> outputs;
  runtime::Event op_event = device->record_event(0); // the input may be written
  for (int i = 1; i <= 8; ++i) {
    device->wait_for_event(1, op_event);
    {
      const runtime::QueueScope queue(*device, 1);
      tensor::write_rows(input, examples::input_of(i));
    }
    const runtime::Event write_event = device->record_event(1); // the input may be read

    device->wait_for_event(0, write_event);
    // The first op takes the input away, so that queue 1 may write the next one while the others run.
    const tensor::Tensor x = ops::to_memory_config(input, kL1Interleaved);
    op_event = device->record_event(0);
    outputs.push_back(tensor::begin_read(model.forward(x))); // does not wait
  }

  int right = 0;
  for (int i = 1; auto& read : outputs) right += examples::is_right(read.get(), i++);
  fmt::print("writes on a queue of their own: {} of 8 outputs right\n", right);
  return right == 8 ? 0 : 1;
}
