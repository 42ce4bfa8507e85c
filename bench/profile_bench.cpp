// What a profile costs while it is recorded:
//   an op that does nothing, eager and replayed, observed and not;
//   a decode step of a model, the same. Rounds with and without a profile take turns; medians are compared.
// Prints a table. usage: profile_bench CHECKPOINT (a small one; demo, from the repository's root, by default), or a
// config.json, which gets random weights.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <vector>

#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/models/load.hpp"
#include "tessera/profile/profiler.hpp"

namespace tessera {
namespace {

using Clock = std::chrono::steady_clock;

double us_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Times {
  double plain_us;
  double profiled_us;
};

/// Medians of `rounds` runs of body() without and with a profile, in turn: the machine's speed drifts.
Times compare(runtime::MeshDevice& device, int rounds, const std::function<void()>& body) {
  std::vector<double> plain;
  std::vector<double> profiled;
  const auto timed = [&] {
    const auto start = Clock::now();
    body();
    device.synchronize();
    return us_since(start);
  };
  for (int round = 0; round < rounds; ++round) {
    timed();
    plain.push_back(timed());
    profile::Profiler profiler;
    profiler.attach(device);
    timed(); // the first run meets the profile's memory untouched, which the system then gives in pieces of 2 MiB
    profiled.push_back(timed());
    profiler.detach(device);
  }
  return {median(std::move(plain)), median(std::move(profiled))};
}

void print(const std::string& what, const Times& times, int count, double ops) {
  fmt::print("{:<44} {:>9.3f} us, profiled {:>9.3f} us: {:+.2f} %, {:.0f} ns an op\n", what, times.plain_us / count,
             times.profiled_us / count, 100.0 * (times.profiled_us / times.plain_us - 1.0),
             1e3 * (times.profiled_us - times.plain_us) / count / ops);
}

void empty_ops() {
  constexpr int kOps = 1000;
  const auto device = runtime::MeshDevice::open({.threads = 1});
  const TensorSpec spec{{1, 1, 32, 2048}, DataType::BFLOAT16, Layout::TILE, kL1Interleaved};
  const auto enqueue = [&] {
    device->queue().enqueue(
        {.name = "empty", .stages = {{1, [](const runtime::Unit&) {}}}, .scope = "layers.0.attention"}, [&] {
          return OpRecord{.inputs = {{"input_tensor_a", spec, 0}, {"weight", spec, 0}},
                          .outputs = {{"output", spec, 0}}};
        });
  };
  const auto all = [&] {
    for (int i = 0; i < kOps; ++i) enqueue();
  };
  print("an empty op, eager", compare(*device, 101, all), kOps, 1);
  const runtime::Trace trace(device, 0, all);
  print("an empty op, replayed", compare(*device, 301, [&] { trace.execute(false); }), kOps, 1);
}

/// Counts the ops of a step.
class Counter : public runtime::QueueObserver {
 public:
  void after(runtime::MeshDevice&, const OpRecord&, const runtime::ProgramRun&) override { ++count; }
  int count = 0;
};

void model_step(const std::string& folder, const std::string& precision, int threads) {
  constexpr int kSteps = 20;
  const auto device = runtime::MeshDevice::open({.threads = threads});
  const bool is_config = folder.ends_with(".json");
  const auto checkpoint =
      is_config ? checkpoint::Checkpoint::open_config(folder) : checkpoint::Checkpoint::open(folder);
  models::LoadOptions load{.precision = precision};
  if (is_config) load.random_seed = 1;
  const auto model = models::load(device, checkpoint, load);
  model->prefill(0, std::vector<std::int32_t>(100, 1), nn::LogitsRows::LAST, nullptr);
  const auto rewind = [&] {
    model->inputs().write_users(std::vector<std::int32_t>{1}, std::vector<std::int32_t>{100},
                                std::vector<std::int32_t>{100});
    model->inputs().write_sampling(std::vector<std::optional<nn::TokenUser>>(1));
  };
  rewind();
  Counter counter;
  device->add_observer(counter);
  model->decode_step(1);
  device->remove_observer(counter);
  const auto eager = compare(*device, 51, [&] {
    rewind();
    for (int step = 0; step < kSteps; ++step) model->decode_step(1);
  });
  tensor::Tensor logits;
  const runtime::Trace trace(device, 0, [&] { logits = model->decode_step(1); });
  const auto replayed = compare(*device, 101, [&] {
    rewind();
    for (int step = 0; step < kSteps; ++step) trace.execute(false);
  });
  const std::string what = fmt::format("{} {}, {} thread{}", folder, precision, threads, threads == 1 ? "" : "s");
  print(what + ", a step, eager", eager, kSteps, counter.count);
  print(what + ", a step, replayed", replayed, kSteps, counter.count);
}

} // namespace
} // namespace tessera

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : "demo";
  tessera::empty_ops();
  for (const int threads : {1, 2}) tessera::model_step(folder, "accuracy", threads);
}
