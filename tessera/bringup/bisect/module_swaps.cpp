#include "tessera/bringup/bisect/module_swaps.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace tessera::bringup::bisect {
namespace {

// Whole layers tried, and layers taken apart: each costs half a forward pass on average.
constexpr std::size_t kLayersTried = 12;
constexpr std::size_t kLayersTakenApart = 3;

/// The device's modules but for one.
RunModule hybrid(const RunModule& device, const RunModule& reference, const std::string& swapped) {
  return [&device, &reference, swapped](const std::string& module, const HostTensor& x) {
    return module == swapped ? reference(module, x) : device(module, x);
  };
}

/// Layers whose modules are suspected: with the largest local errors, in their order.
std::vector<std::int64_t> layers_to_try(const Session& session, const std::vector<ModuleErrors>& modules) {
  std::vector<std::pair<double, std::int64_t>> layers;
  for (std::int64_t layer = 0; layer < session.layers(); ++layer) {
    double worst = 0.0;
    for (const ModuleErrors& errors : modules) {
      if (errors.module == fmt::format("layers.{}", layer)) worst = errors.local_error();
    }
    layers.emplace_back(worst, layer);
  }
  std::stable_sort(layers.begin(), layers.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  layers.resize(std::min(layers.size(), kLayersTried));
  std::vector<std::int64_t> numbers;
  for (const auto& [error, layer] : layers) numbers.push_back(layer);
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

class Swapper {
 public:
  Swapper(Session& session, const DeviceRun& run)
      : session_(session),
        run_(run),
        device_(modules_of(session.inputs().device)),
        reference_(modules_of(session.inputs().reference)),
        base_(session.judge(run.logits)) {}

  /// The module `name` of the reference's in the chain from layer `layer` on; below it everything is as on the device.
  Swap whole(const std::string& name, std::int64_t layer) {
    const std::int64_t layers = session_.layers();
    const RunModule run = hybrid(device_, reference_, name);
    HostTensor x = name == "embedding" ? reference_(name, session_.ids()) : state(layer);
    return swap(name, base_, run_rest(run, layer, layers, std::move(x)), layers - layer + 2);
  }

  /// The modules of a layer one by one, compared with the layer taken apart: there the residual is added on the host.
  void modules_of_one_layer(std::int64_t layer, std::vector<Swap>& swaps) {
    const std::int64_t runs = session_.layers() - layer + 6;
    const auto with = [&](const std::string& swapped) {
      const RunModule run = hybrid(device_, reference_, swapped);
      return run_rest(device_, layer + 1, session_.layers(), run_layer(run, layer, session_.form(), state(layer)));
    };
    const Agreement apart = session_.judge(with(""));
    for (const std::string& module : modules_of_layer(layer, session_.form())) {
      swaps.push_back(swap(module, apart, with(module), runs));
    }
    swaps.push_back({.what = fmt::format("layers.{}.residual_adds", layer), .before = base_, .after = apart});
  }

 private:
  const HostTensor& state(std::int64_t layer) const { return run_.states[static_cast<std::size_t>(layer)]; }

  Swap swap(const std::string& what, const Agreement& before, const HostTensor& logits, std::int64_t runs) {
    session_.advance(runs, "the reference's " + what);
    return {.what = what, .before = before, .after = session_.judge(logits)};
  }

  Session& session_;
  const DeviceRun& run_;
  RunModule device_;
  RunModule reference_;
  Agreement base_;
};

} // namespace

std::vector<Swap> swap_modules(Session& session, const DeviceRun& run, const std::vector<ModuleErrors>& modules) {
  const std::vector<std::int64_t> tried = layers_to_try(session, modules);
  const std::int64_t layers = session.layers();
  const auto parts = static_cast<std::int64_t>(modules_of_layer(0, session.form()).size());
  session.plan(static_cast<std::int64_t>(tried.size()) * (layers / 2 + 2) + layers +
               static_cast<std::int64_t>(kLayersTakenApart) * parts * (layers / 2 + 6));
  Swapper swapper(session, run);
  std::vector<Swap> swaps;
  for (const std::int64_t layer : tried) swaps.push_back(swapper.whole(fmt::format("layers.{}", layer), layer));
  std::vector<std::pair<double, std::int64_t>> by_gain;
  for (std::size_t i = 0; i < tried.size(); ++i) by_gain.emplace_back(swaps[i].kl_gain(), tried[i]);
  std::stable_sort(by_gain.begin(), by_gain.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  by_gain.resize(std::min(by_gain.size(), kLayersTakenApart));
  for (const auto& [gain, layer] : by_gain) swapper.modules_of_one_layer(layer, swaps);
  swaps.push_back(swapper.whole("embedding", 0));
  swaps.push_back(swapper.whole("final_norm", layers));
  swaps.push_back(swapper.whole("lm_head", layers));
  return swaps;
}

} // namespace tessera::bringup::bisect
