// What the runtime itself costs, apart from the kernels:
//   an op that is enqueued, and one that is replayed from a trace;
//   a decode step of a model, eager and replayed, against the time of its kernels alone;
//   transfers on a second queue beside compute, against the longer of the two.
// Prints a table. usage: runtime_bench CHECKPOINT (a small one, demo), from the repository's root by default.

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/models/load.hpp"
#include "tessera/ops/data_movement/copy.hpp"
#include "tessera/ops/eltwise/binary.hpp"
#include "tessera/ops/matmul/linear.hpp"
#include "tessera/tensor/transfer.hpp"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

double us_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

template <typename Body>
double median_us(int repeats, const Body& body) {
  std::vector<double> times;
  for (int i = 0; i < repeats; ++i) times.push_back(body());
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

/// Holds a queue still while the host enqueues, so that the two do not take the same processor.
class Hold {
 public:
  explicit Hold(runtime::MeshDevice& device) {
    device.queue().enqueue({.name = "hold",
                            .stages = {{1,
                                        [this](const runtime::Unit&) {
                                          held_ = true;
                                          held_.notify_all();
                                          released_.wait(false);
                                        }}}},
                           [] { return OpRecord{}; });
    held_.wait(false);
  }
  void release() {
    released_ = true;
    released_.notify_all();
  }

 private:
  std::atomic<bool> held_ = false;
  std::atomic<bool> released_ = false;
};

tensor::Tensor tensor_of(runtime::MeshDevice& device, const Shape& shape, DataType dtype = DataType::BFLOAT16,
                         const MemoryConfig& place = kDramInterleaved) {
  return tensor::zeros(device, {shape, dtype, Layout::TILE, place}, "x");
}

constexpr int kOps = 1000;

void op_costs() {
  const auto device = runtime::MeshDevice::open({.threads = 1});
  const tensor::Tensor x = tensor_of(*device, {1, 1, 1, 32}, DataType::BFLOAT16, kL1Interleaved);
  const tensor::Tensor w = tensor_of(*device, {1, 1, 32, 32});
  const auto eager = [&](const auto& op) {
    return median_us(21, [&] {
      Hold hold(*device);
      const auto start = Clock::now();
      for (int i = 0; i < kOps; ++i) op();
      const double time = us_since(start) / kOps;
      hold.release();
      device->synchronize();
      return time;
    });
  };
  fmt::print("host, an op enqueued:  add {:.2f} us, linear {:.2f} us (bar 2.00)\n", eager([&] { ops::add(x, x, {}); }),
             eager([&] { ops::linear(x, w, {}); }));

  const auto empty = [&] {
    device->queue().enqueue({.name = "empty", .stages = {{1, [](const runtime::Unit&) {}}}}, [] { return OpRecord{}; });
  };
  const runtime::Trace trace(device, 0, [&] {
    for (int i = 0; i < kOps; ++i) empty();
  });
  double call = 0;
  const double replayed = median_us(201, [&] {
    const auto start = Clock::now();
    trace.execute(false);
    call = us_since(start);
    device->synchronize();
    return us_since(start) / kOps;
  });
  fmt::print("host, an op replayed:  {:.3f} us (bar 0.300); the call that replays {} ops: {:.2f} us\n", replayed, kOps,
             call);
}

/// Time in kernels: for each stage of each program the longest that a thread worked.
class KernelTime : public runtime::QueueObserver {
 public:
  void after(runtime::MeshDevice&, const OpRecord&, const runtime::ProgramRun& run) override {
    double longest = 0;
    for (const base::WorkSpan& span : run.spans) {
      if (span.thread == 0) us_ += std::exchange(longest, 0.0); // a stage's spans begin with the queue's own thread
      longest = std::max(longest, std::chrono::duration<double, std::micro>(span.end - span.begin).count());
    }
    us_ += longest;
  }
  double take() { return std::exchange(us_, 0.0); }

 private:
  double us_ = 0;
};

void model_step(const std::string& folder, const std::string& precision, int threads) {
  const auto checkpoint = checkpoint::Checkpoint::open(folder);
  const auto device = runtime::MeshDevice::open({.threads = threads});
  const auto model = models::load(device, checkpoint, {.precision = precision});
  const std::vector<std::int32_t> id{1};
  const std::vector<std::int32_t> position{100};
  model->prefill(0, std::vector<std::int32_t>(100, 1), nn::LogitsRows::LAST, nullptr);
  const auto rewind = [&] {
    model->inputs().write_users(id, position, position);
    model->inputs().write_sampling(std::vector<std::optional<nn::TokenUser>>(1));
    device->synchronize();
  };
  rewind();
  model->decode_step(1);
  tensor::Tensor logits;
  const runtime::Trace trace(device, 0, [&] { logits = model->decode_step(1); });
  constexpr int kSteps = 100;
  const auto steps = [&](const auto& step) {
    rewind();
    return median_us(kSteps, [&] {
      const auto start = Clock::now();
      step();
      device->synchronize();
      return us_since(start);
    });
  };
  const double eager = steps([&] { model->decode_step(1); });
  const double replayed = steps([&] { trace.execute(false); });
  rewind();
  const auto start = Clock::now();
  for (int i = 0; i < kSteps; ++i) trace.execute(false);
  device->synchronize();
  const double in_a_row = us_since(start) / kSteps;
  KernelTime kernels;
  device->add_observer(kernels);
  rewind();
  const double alone = median_us(kSteps, [&] {
    kernels.take();
    trace.execute(true);
    return kernels.take();
  });
  device->remove_observer(kernels);
  fmt::print(
      "decode step, {} {}, {} thread{}: eager {:.0f} us, replayed {:.0f} us, replayed in a row {:.0f} us; kernels "
      "alone "
      "{:.0f} us: in a row / kernels {:.2f} (bar 1.25)\n",
      folder, precision, threads, threads == 1 ? "" : "s", eager, replayed, in_a_row, alone, in_a_row / alone);
}

/// Inputs written on queue 1 while queue 0 computes on the ones before: two events for each.
void overlap(std::int64_t rows) {
  const auto device = runtime::MeshDevice::open({.threads = 1, .command_queues = 2});
  constexpr std::int64_t kWidth = 2048;
  const TensorSpec spec{{1, 1, rows, kWidth}, DataType::BFLOAT16, Layout::TILE, kDramInterleaved};
  const tensor::Tensor input = tensor::zeros(*device, spec, "input");
  const tensor::Tensor weight = tensor_of(*device, {1, 1, kWidth, 32}, DataType::BFLOAT8_B);
  const tensor::HostRows source =
      tensor::rows_of({spec.shape, std::vector<float>(static_cast<std::size_t>(rows * kWidth), 0.5F)});
  constexpr int kInputs = 20;
  const auto compute = [&] {
    const tensor::Tensor x = ops::to_memory_config(input, kDramInterleaved); // the input may be written again
    const runtime::Event taken = device->record_event(0);
    ops::linear(x, weight, {});
    return taken;
  };
  const auto write = [&] {
    const runtime::QueueScope scope(*device, 1);
    tensor::write_rows(input, source);
  };
  const auto timed = [&](const auto& body) {
    return median_us(9, [&] {
      const auto start = Clock::now();
      for (int i = 0; i < kInputs; ++i) body();
      device->synchronize();
      return us_since(start) / kInputs;
    });
  };
  const double only_compute = timed(compute);
  const double only_write = timed(write);
  runtime::Event taken = device->record_event(0);
  const double both = timed([&] {
    device->wait_for_event(1, taken);
    write();
    device->wait_for_event(0, device->record_event(1));
    taken = compute();
  });
  fmt::print(
      "two queues, a thread each: compute {:.0f} us, transfer {:.0f} us, both {:.0f} us: both / longer {:.2f} (bar "
      "1.10)\n",
      only_compute, only_write, both, both / std::max(only_compute, only_write));
}

} // namespace
} // namespace tessera

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : "demo";
  tessera::op_costs();
  for (const char* precision : {"bf16", "accuracy"}) {
    for (const int threads : {1, 2}) tessera::model_step(folder, precision, threads);
  }
  tessera::overlap(256);
  tessera::overlap(512);
}
