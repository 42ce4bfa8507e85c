#include "tessera/bringup/bisect/bisect.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"
#include "tessera/bringup/bisect/errors.hpp"
#include "tessera/bringup/bisect/module_swaps.hpp"
#include "tessera/bringup/bisect/ops.hpp"
#include "tessera/bringup/bisect/precision_swaps.hpp"
#include "tessera/bringup/bisect/verdict.hpp"

namespace tessera::bringup::bisect {
namespace {

// Below it there is nothing to gain by any swap: float32's order of additions.
constexpr double kNothingLost = 1e-7;
// Inputs that agree to this have no error that a module could amplify.
constexpr double kNoError = 1e-7;

/// The model in full precision, or null with a note.
std::unique_ptr<nn::CausalLM> open_full(const Inputs& inputs, std::vector<std::string>& notes) {
  if (!inputs.open || inputs.precision.weights_as_stored) return nullptr;
  try {
    return inputs.open("full");
  } catch (const base::Error& error) {
    notes.push_back(
        fmt::format("without a model in full precision, modules are judged by their PCC: {}", error.what()));
    return nullptr;
  }
}

} // namespace

std::optional<double> ModuleErrors::gain() const {
  if (!input_error || !carried_error || !(*input_error > kNoError)) return std::nullopt;
  return *carried_error / *input_error;
}

double ModuleErrors::local_error() const {
  return std::max(local_prefill ? local_prefill->relative_frobenius_error : 0.0,
                  local_decode ? local_decode->relative_frobenius_error : 0.0);
}

double Swap::kl_share() const {
  return before.kl_divergence > 0.0 ? kl_gain() / before.kl_divergence : 0.0;
}

double Swap::error_share() const {
  return before.pcc < 1.0 ? (after.pcc - before.pcc) / (1.0 - before.pcc) : 0.0;
}

const ModuleErrors* Result::module(const std::string& name) const {
  const auto found = std::find_if(modules.begin(), modules.end(), [&](const auto& one) { return one.module == name; });
  return found == modules.end() ? nullptr : &*found;
}

Result bisect(const Inputs& inputs, const Options& options) {
  Session session(inputs, options);
  Result result{.numerics = options.numerics,
                .precision = inputs.precision.name,
                .layers = session.layers(),
                .positions = session.ids().shape.volume()};
  const DeviceRun run = run_device(session);
  result.prefill = session.judge(run.logits);
  result.decode = session.judge(run.decode_logits);
  result.decode_states = run.decode_errors;
  {
    const auto opened = open_full(inputs, result.notes);
    nn::CausalLM* full = inputs.precision.weights_as_stored ? &inputs.device : opened.get();
    result.modules = local_errors(session, full);
  }
  const bool all_run = std::all_of(result.modules.begin(), result.modules.end(),
                                   [](const ModuleErrors& module) { return module.local_prefill.has_value(); });
  if (all_run) {
    add_accumulated(session, run, result.modules);
    find_worst_ops(session, result.modules);
    result.flips = expert_flips(session, run);
  } else {
    result.notes.emplace_back("without a module that cannot be run there are no accumulated errors and no swaps");
  }
  if (all_run && result.prefill.kl_divergence > kNothingLost) result.swaps = swap_modules(session, run, result.modules);
  // A wrong module is mended first: what formats cost beside it is not to be seen.
  const bool wrong = !wrong_modules(session, result, false).empty() || !wrong_modules(session, result, true).empty() ||
                     first_wrong_state(result) >= 0;
  if (!wrong && result.decode.kl_divergence > kNothingLost) {
    auto swaps = swap_precision(session, result.decode, result.notes);
    result.swaps.insert(result.swaps.end(), std::make_move_iterator(swaps.begin()),
                        std::make_move_iterator(swaps.end()));
  }
  std::stable_sort(result.swaps.begin(), result.swaps.end(),
                   [](const Swap& a, const Swap& b) { return a.kl_gain() > b.kl_gain(); });
  result.finding = judge(session, run, result);
  return result;
}

} // namespace tessera::bringup::bisect
