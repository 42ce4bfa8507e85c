// A trace on queue 0, writes and reads on queue 1. The ops that touch what queue 1 touches, and all events, stay
// outside the trace.

#include <fmt/format.h>

#include "examples/model.hpp"

using namespace tessera;

int main() {
  const auto device = runtime::MeshDevice::open({.command_queues = 2, .trace_region_size = 1 << 20});
  const examples::Model model(*device);
  const tensor::Tensor input = tensor::zeros(*device, examples::kSpec, "input");
  const tensor::Tensor output = tensor::zeros(*device, examples::kSpec, "output");

  // The trace has an input of its own, in L1, and an output of its own.
  const tensor::Tensor x = ops::to_memory_config(input, kL1Interleaved);
  ops::copy(model.forward(x), output); // once op by op
  const runtime::TraceId trace = device->begin_trace_capture(0);
  const tensor::Tensor y = model.forward(x);
  device->end_trace_capture(trace);

  const auto write = [&](int value, const runtime::Event& first_op_event) {
    const runtime::QueueScope queue(*device, 1);
    device->wait_for_event(1, first_op_event);
    tensor::write_rows(input, examples::input_of(value));
    return device->record_event(1);
  };

  std::vector<tensor::Read<tensor::HostTensor>> outputs;
  runtime::Event read_event = device->record_event(1);
  runtime::Event write_event = write(1, device->record_event(0));
  for (int i = 1; i <= 8; ++i) {
    device->wait_for_event(0, write_event);
    ops::copy(input, x); // the first op that reads the input
    const runtime::Event first_op_event = device->record_event(0);
    device->execute_trace(trace, 0, false);
    device->wait_for_event(0, read_event);
    ops::copy(y, output); // the op that writes the output
    const runtime::Event last_op_event = device->record_event(0);

    write_event = write(i + 1, first_op_event);
    const runtime::QueueScope queue(*device, 1);
    device->wait_for_event(1, last_op_event);
    outputs.push_back(tensor::begin_read(output));
    read_event = device->record_event(1);
  }

  int right = 0;
  for (int i = 1; auto& read : outputs) right += examples::is_right(read.get(), i++);
  fmt::print("a trace beside writes and reads: {} of 8 outputs right\n", right);
  return right == 8 ? 0 : 1;
}
