#include "tessera/bringup/bisect/ops.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/base/error.hpp"
#include "tessera/bringup/stages/stage_support.hpp"

namespace tessera::bringup::bisect {
namespace {

constexpr std::size_t kModules = 3;

/// Decode is looked into where it is much worse than prefill.
nn::Phase worse_phase(const ModuleErrors& module) {
  const double prefill = module.local_prefill ? module.local_prefill->relative_frobenius_error : 0.0;
  return module.local_error() > 2.0 * prefill ? nn::Phase::DECODE : nn::Phase::PREFILL;
}

} // namespace

void find_worst_ops(Session& session, std::vector<ModuleErrors>& modules) {
  if (!session.inputs().compare_ops) return;
  std::vector<ModuleErrors*> worst;
  for (ModuleErrors& module : modules) {
    if (!is_whole_layer(module.module) && module.local_error() > 0.0) worst.push_back(&module);
  }
  std::stable_sort(worst.begin(), worst.end(),
                   [](const auto* a, const auto* b) { return a->local_error() > b->local_error(); });
  worst.resize(std::min(worst.size(), kModules));
  session.plan(static_cast<std::int64_t>(worst.size()));
  for (ModuleErrors* module : worst) {
    // One text is enough to tell ops apart.
    const HostTensor& input = session.reference().at(module->module).input;
    const std::int64_t positions = std::min(input.shape[1], session.options().decode_positions);
    const HostTensor x = corner(input, 1, positions);
    try {
      const std::vector<OpRow> rows = session.inputs().compare_ops(
          [&] { session.inputs().device.run_module(module->module, x, worse_phase(*module)); });
      for (const OpRow& row : rows) {
        const auto error = [](const OpRow& op) { return op.figures.relative_frobenius_error; };
        if (!module->worst_op || error(row) > error(*module->worst_op)) module->worst_op = row;
      }
    } catch (const base::Error& failure) {
      if (module->note.empty()) module->note = failure.what();
    }
    session.advance(1, "the ops of " + module->module);
  }
}

} // namespace tessera::bringup::bisect
