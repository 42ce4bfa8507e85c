// Ops on queue 0, writes and reads on queue 1: input and output stay where they are, and four events order the two.

#include <fmt/format.h>

#include "examples/model.hpp"

using namespace tessera;

int main() {
  const auto device = runtime::MeshDevice::open({.command_queues = 2});
  const examples::Model model(*device);
  const tensor::Tensor input = tensor::zeros(*device, examples::kSpec, "input");
  const tensor::Tensor output = tensor::zeros(*device, examples::kSpec, "output");

  // Writes the next input on queue 1, once `first_op_event` says that the one before has been taken.
  const auto write = [&](int value, const runtime::Event& first_op_event) {
    const runtime::QueueScope queue(*device, 1);
    device->wait_for_event(1, first_op_event);
    tensor::write_rows(input, examples::input_of(value));
    return device->record_event(1);
  };

  std::vector<tensor::Read<tensor::HostTensor>> outputs;
  runtime::Event read_event = device->record_event(1); // the output may be overwritten
  runtime::Event write_event = write(1, device->record_event(0));
  for (int i = 1; i <= 8; ++i) {
    device->wait_for_event(0, write_event);
    const tensor::Tensor x = ops::to_memory_config(input, kL1Interleaved);
    const runtime::Event first_op_event = device->record_event(0);
    const tensor::Tensor y = model.forward(x);
    device->wait_for_event(0, read_event);
    ops::copy(y, output);
    const runtime::Event last_op_event = device->record_event(0);

    write_event = write(i + 1, first_op_event); // before the read, which waits for the ops
    const runtime::QueueScope queue(*device, 1);
    device->wait_for_event(1, last_op_event);
    outputs.push_back(tensor::begin_read(output));
    read_event = device->record_event(1);
  }

  int right = 0;
  for (int i = 1; auto& read : outputs) right += examples::is_right(read.get(), i++);
  fmt::print("writes and reads on a queue of their own: {} of 8 outputs right\n", right);
  return right == 8 ? 0 : 1;
}
