// Breaks each rule of traces, queues and events once and prints what is said about it.

#include <fmt/format.h>

#include <functional>

#include "examples/model.hpp"
#include "tessera/base/error.hpp"
#include "tessera/ops/embedding/embedding.hpp"

using namespace tessera;

namespace {

bool all_refused = true;

void refused(std::string_view what, const std::function<void()>& misuse) {
  fmt::print("{}\n", what);
  try {
    misuse();
    all_refused = false;
  } catch (const base::Error& error) {
    fmt::print("  {}\n", error.what());
  }
}

void in_a_capture() {
  const auto device = runtime::MeshDevice::open({.command_queues = 2});
  const examples::Model model(*device);
  const tensor::Tensor x = tensor::zeros(*device, examples::kSpec, "x");
  const runtime::Event event = device->record_event(1);
  const runtime::TraceId trace = device->begin_trace_capture(0);
  refused("a write in a capture", [&] { tensor::write_rows(x, examples::input_of(1)); });
  refused("a read in a capture", [&] { tensor::to_host(x); });
  refused("an event in a capture", [&] { device->record_event(0); });
  refused("a wait in a capture", [&] { device->wait_for_event(0, event); });
  refused("synchronize in a capture", [&] { device->synchronize(); });
  refused("a replay before the capture's end", [&] { device->execute_trace(trace); });
  refused("an op that has not run before", [&] { model.forward(x); });
  device->release_trace(trace);
}

void memory_of_a_trace() {
  const auto device = runtime::MeshDevice::open({.trace_region_size = 100'000});
  const examples::Model model(*device);
  const tensor::Tensor x = tensor::zeros(*device, examples::kSpec, "x");
  model.forward(x);
  const auto capture = [&] { return runtime::Trace(device, 0, [&] { model.forward(x); }); };
  const runtime::Trace trace = capture();
  refused("a second trace in a region that has room for one", [&] { capture(); });
  const tensor::Tensor later = tensor::zeros(*device, examples::kSpec, "my_tensor");
  refused("a tensor allocated after the capture, where the trace writes", [&] { trace.execute(true); });
  later.acknowledge_corruptible(); // what it holds is not needed any more
  trace.execute(true);
}

void events_and_failures() {
  refused("a second queue that the device was not opened with",
          [] { runtime::MeshDevice::open({.command_queues = 1})->record_event(1); });
  const auto device = runtime::MeshDevice::open({.command_queues = 2});
  refused("an event that was never recorded", [&] { device->wait_for_event(1, runtime::Event{}); });

  const tensor::Tensor table = tensor::zeros(*device, {{1, 1, 4, 32}, DataType::BFLOAT16, Layout::ROW_MAJOR}, "table");
  const std::vector<std::int32_t> beyond_the_table{7};
  const tensor::Tensor ids =
      tensor::from_host(*device, beyond_the_table, {{1, 1, 1}, DataType::INT32, Layout::ROW_MAJOR}, "ids");
  ops::embedding(ids, table, {}); // returns: what the ids are is known when the op runs
  device->wait_for_event(1, device->record_event(0));
  refused("a wait for an event after work that failed", [&] { device->synchronize(1); });
  refused("the failed work itself, at the next wait for it", [&] { device->synchronize(0); });
  device->synchronize(); // usable again
}

} // namespace

int main() {
  in_a_capture();
  memory_of_a_trace();
  events_and_failures();
  return all_refused ? 0 : 1;
}
