// A step that is captured once and replayed with new inputs.

#include <fmt/format.h>

#include "examples/model.hpp"

using namespace tessera;

int main() {
  const auto device = runtime::MeshDevice::open({.trace_region_size = 1 << 20});
  const examples::Model model(*device);

  // The trace will read this address at each replay: allocated before the capture, kept as long as the trace.
  const tensor::Tensor input = tensor::zeros(*device, examples::kSpec, "input");

  // Once op by op: the card compiles a program when it first meets it, and a capture compiles nothing.
  model.forward(input);

  const runtime::TraceId trace = device->begin_trace_capture(0);
  const tensor::Tensor output = model.forward(input); // frozen, not run
  device->end_trace_capture(trace);

  int right = 0;
  for (int i = 1; i <= 8; ++i) {
    tensor::write_rows(input, examples::input_of(i)); // in place
    device->execute_trace(trace, 0, false);           // returns at once
    right += examples::is_right(tensor::to_host(output), i);
  }
  device->release_trace(trace);

  fmt::print("one step, captured once and replayed 8 times: {} outputs right\n", right);
  return right == 8 ? 0 : 1;
}
