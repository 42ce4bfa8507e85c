#include <algorithm>
#include <cmath>

#include "tessera/bringup/recorded_steps.hpp"
#include "tessera/bringup/run_file.hpp"
#include "tessera/metrics/logits.hpp"
#include "tessera/profile/profiler.hpp"

namespace tessera::bringup {
namespace {

using nlohmann::json;

/// Runs steps twice, the second time under a profiler.
class StepMeter {
 public:
  explicit StepMeter(const std::vector<runtime::MeshDevice*>& devices) : devices_(devices) {}

  /// REQUIRES: `run` waits for what it enqueues.
  template <typename Run>
  void measure(const std::string& name, Run&& run) {
    run();
    profile::Profiler profiler;
    for (runtime::MeshDevice* device : devices_) profiler.attach(*device);
    run();
    for (runtime::MeshDevice* device : devices_) profiler.detach(*device);
    add(name, profiler.profile());
  }
  std::vector<MeasuredStep> take() { return std::move(steps_); }

 private:
  void add(const std::string& name, const profile::Profile& profile) {
    MeasuredStep& step = steps_.emplace_back(MeasuredStep{name, {}});
    for (const profile::Track& track : profile.tracks) {
      if (track.kind != profile::TrackKind::QUEUE) continue;
      for (const profile::Slice& slice : track.slices) {
        if (slice.kind == profile::SliceKind::REPLAY || slice.kind == profile::SliceKind::WAIT) continue;
        const profile::Operation& operation = profile.operations[slice.operation];
        step.ops.push_back({operation.name, operation.scope, static_cast<double>(slice.begin_ns) / 1e3,
                            static_cast<double>(slice.time_ns()) / 1e3});
      }
    }
  }

  const std::vector<runtime::MeshDevice*>& devices_;
  std::vector<MeasuredStep> steps_;
};

} // namespace

std::vector<MeasuredStep> measure_steps(nn::CausalLM& model, const std::vector<runtime::MeshDevice*>& devices,
                                        const Ids& prompt) {
  const nn::Execution before = model.set_execution({.trace = false, .two_queues = false});
  StepMeter meter(devices);
  tensor::HostTensor logits;
  meter.measure("prefill", [&] { logits = model.prefill(0, prompt, nn::LogitsRows::LAST, nullptr); });
  const std::int32_t id[] = {static_cast<std::int32_t>(metrics::argmax(logits.row(0)))};
  const std::int32_t position[] = {static_cast<std::int32_t>(std::min(std::ssize(prompt), model.info().context - 1))};
  meter.measure("decode", [&] { model.decode(id, position, nullptr); });
  model.set_execution(before);
  return meter.take();
}

std::vector<MeasuredStep> measure_steps(nn::ClassifierModel& model, const nn::HostTensor& items) {
  const std::vector<runtime::MeshDevice*> devices{&model.device()};
  StepMeter meter(devices);
  meter.measure("forward", [&] { model.forward(items, nullptr); });
  return meter.take();
}

void write_measured_steps(const std::vector<MeasuredStep>& measured, const std::string& key,
                          const std::filesystem::path& folder) {
  if (folder.empty()) return;
  json steps = json::array();
  for (const MeasuredStep& step : measured) {
    json ops = json::array();
    for (const MeasuredOp& op : step.ops)
      ops.push_back({{"name", op.name}, {"scope", op.scope}, {"begin_us", op.begin_us}, {"time_us", op.time_us}});
    steps.push_back({{"name", step.name}, {"ops", std::move(ops)}});
  }
  run_file::write(folder / "timeline.json", key, {{"measured_on", "this host"}, {"steps", std::move(steps)}});
}

std::vector<MeasuredStep> measured_steps_from_json(const json& in) {
  return run_file::converted("timeline.json", [&] {
    std::vector<MeasuredStep> steps;
    for (const json& one : in.at("steps")) {
      MeasuredStep& step = steps.emplace_back(MeasuredStep{one.at("name"), {}});
      double sum = 0.0;
      for (const json& op : one.at("ops")) {
        const MeasuredOp& added =
            step.ops.emplace_back(MeasuredOp{op.at("name"), op.at("scope"), op.at("begin_us"), op.at("time_us")});
        sum += added.time_us;
        base::require(std::isfinite(added.begin_us + added.time_us) && std::isfinite(sum),
                      "times must have a finite sum; received {} and {} us", added.begin_us, added.time_us);
      }
    }
    return steps;
  });
}

} // namespace tessera::bringup
