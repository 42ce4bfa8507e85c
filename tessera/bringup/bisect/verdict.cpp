#include "tessera/bringup/bisect/verdict.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "tessera/bringup/advice.hpp"
#include "tessera/bringup/bisect/precision_file.hpp"
#include "tessera/bringup/thresholds.hpp"

namespace tessera::bringup::bisect {
namespace {

// Without a model in full precision a module below this is wrong, not imprecise (advice.cpp has the same line).
constexpr double kWrongPcc = 0.9;
// What a healthy model loses at most, beside the preset accuracy's limit on the PCC of logits.
constexpr double kHealthyKl = 0.02;
// A thing in full precision that gains this share of the KL divergence is the culprit.
constexpr double kCulpritShare = 0.4;
// Of a group, the layers that gain most of what the group gains stand for it.
constexpr double kMostOfTheGroup = 0.6;
// An amplifier: errors leave it so many times larger than they came, and are no small matter then.
constexpr double kAmplifies = 3.0;
constexpr double kMatters = 1e-2;
// Decode stands out from prefill.
constexpr double kStandsOut = 4.0;

double relative(const ModuleErrors::Figures& figures) {
  return figures ? figures->relative_frobenius_error : 0.0;
}

bool wrong(const Session& session, const ModuleErrors::Figures& full, const ModuleErrors::Figures& local) {
  if (full) return full->relative_frobenius_error > session.full_limit();
  return local && local->pcc < kWrongPcc;
}

bool is_part_of(const std::string& module, const std::string& whole) {
  return module.size() > whole.size() && module.starts_with(whole + ".");
}

/// Whether a wrong module inside `module` explains it.
bool explained(const std::string& module, const std::vector<const ModuleErrors*>& wrong) {
  return std::any_of(wrong.begin(), wrong.end(), [&](const ModuleErrors* other) {
    if (is_part_of(other->module, module)) return true;
    if (!module.ends_with(".attention") || !other->module.ends_with(".rope")) return false;
    const std::string layer = module.substr(0, module.size() - std::string_view(".attention").size());
    return is_part_of(other->module, layer);
  });
}

const Swap* swap_of(const Result& result, const std::string& what) {
  const auto found = std::find_if(result.swaps.begin(), result.swaps.end(),
                                  [&](const Swap& s) { return s.kind == Swap::Kind::MODULE && s.what == what; });
  return found == result.swaps.end() ? nullptr : &*found;
}

std::string names_of(const std::vector<const ModuleErrors*>& modules, const ModuleErrors* but) {
  std::vector<std::string> names;
  for (const ModuleErrors* module : modules) {
    if (module != but) names.push_back(module->module);
  }
  const std::size_t more = names.size() > 4 ? names.size() - 4 : 0;
  names.resize(names.size() - more);
  std::string text = fmt::format("{}", fmt::join(names, ", "));
  return more > 0 ? fmt::format("{} and {} more", text, more) : text;
}

/// The module whose reference gains most; without any gain the one that is furthest off.
const ModuleErrors* worst_of(const Result& result, const std::vector<const ModuleErrors*>& modules) {
  return *std::max_element(modules.begin(), modules.end(), [&](const ModuleErrors* a, const ModuleErrors* b) {
    const auto key = [&](const ModuleErrors* module) {
      const Swap* swap = swap_of(result, module->module);
      const double error = std::max({relative(module->full_prefill), relative(module->full_decode),
                                     module->full_prefill ? 0.0 : module->local_error()});
      return std::pair(swap != nullptr ? swap->kl_gain() : 0.0, error);
    };
    return key(a) < key(b);
  });
}

Finding wrong_module(const Result& result, const std::vector<const ModuleErrors*>& modules) {
  for (const ModuleErrors* module : modules) {
    if (module->local_prefill && module->local_decode) continue;
    return {.cause = Cause::MODULE,
            .culprit = module->module,
            .sentence = fmt::format("{} cannot be run by itself: {}", module->module, module->note),
            .remedy = nullptr};
  }
  const ModuleErrors& worst = *worst_of(result, modules);
  const Swap* swap = swap_of(result, worst.module);
  const bool full = worst.full_prefill || worst.full_decode;
  std::string text = fmt::format(
      "{} is wrong, not imprecise: on the reference's inputs its output is {:.3g} % off{}", worst.module,
      100.0 * (full ? std::max(relative(worst.full_prefill), relative(worst.full_decode)) : worst.local_error()),
      full ? " in full precision too" : "");
  if (swap != nullptr && swap->kl_share() > 0.0)
    text += fmt::format(", and with the reference's in its place {:.0f} % of the KL divergence goes",
                        100.0 * swap->kl_share());
  if (!worst.note.empty()) text += "; " + worst.note;
  if (worst.worst_op) {
    text += worst.worst_op->figures.passed
                ? "; each of its ops is right on what it was given, so look at the weights and at what goes where"
                : fmt::format("; its op {} is wrong by itself", worst.worst_op->name);
  }
  text += fmt::format("; check {}", suspects_of(worst.module));
  if (modules.size() > 1) text += fmt::format("; wrong too: {}", names_of(modules, &worst));
  return {.cause = Cause::MODULE, .culprit = worst.module, .sentence = text, .remedy = nullptr};
}

Finding wrong_in_decode(const Result& result, const std::vector<const ModuleErrors*>& modules) {
  const ModuleErrors& worst = *worst_of(result, modules);
  std::string text = fmt::format("{} is wrong in decode alone", worst.module);
  if (worst.first_wrong_position > 0) text += fmt::format(", from position {} on", worst.first_wrong_position);
  text += "; in prefill it is right; ";
  text += worst.module.ends_with(".attention")
              ? "check the KV cache: the positions that are written and those that are read"
              : "check what decode does otherwise: its positions, the rows of its users";
  if (modules.size() > 1) text += fmt::format("; wrong too: {}", names_of(modules, &worst));
  return {.cause = Cause::DECODE, .culprit = worst.module, .sentence = text, .remedy = nullptr};
}

std::string name_of_state(std::int64_t state, std::int64_t layers) {
  if (state == 0) return "embedding";
  return state > layers ? "lm_head" : fmt::format("layers.{}", state - 1);
}

Finding wrong_state(const DeviceRun& run, const Result& result, std::int64_t state) {
  const std::string name = name_of_state(state, result.layers);
  const std::int64_t from =
      state <= result.layers ? run.decode_first_wrong[static_cast<std::size_t>(state)] : std::int64_t{-1};
  return {.cause = Cause::DECODE,
          .culprit = name,
          .sentence = fmt::format(
              "{} is the first that comes out wrong when the whole model decodes{}; prefill is right, and so is the "
              "module by itself; check what the steps of decode share: the KV cache's positions and pages, the inputs "
              "of the step, its trace (--no-trace)",
              name, from > 0 ? fmt::format(", from position {} on", from) : ""),
          .remedy = nullptr};
}

/// The module that makes errors larger than any other does; null: none does.
const ModuleErrors* amplifier(const Result& result) {
  const ModuleErrors* strongest = nullptr;
  for (const ModuleErrors& module : result.modules) {
    const auto gain = module.gain();
    if (!gain || *gain < kAmplifies || *module.carried_error < kMatters) continue;
    if (strongest != nullptr && is_part_of(strongest->module, module.module)) continue; // the layer, after its part
    if (strongest == nullptr || *gain > *strongest->gain()) strongest = &module;
  }
  return strongest;
}

std::string why_it_amplifies(const Result& result, const std::string& module) {
  if (module.ends_with(".mlp")) {
    for (const Flips& flips : result.flips) {
      if (module == fmt::format("layers.{}.mlp", flips.layer) && flips.flipped > 0) {
        return fmt::format("its router sends {} of {} choices to another expert ({:.1f} %) for errors that small",
                           flips.flipped, flips.choices,
                           100.0 * static_cast<double>(flips.flipped) / static_cast<double>(flips.choices));
      }
    }
    return "its products of gate and up grow faster than their inputs";
  }
  if (module.ends_with(".attention")) return "its softmax is steep: a small change of scores changes what is read";
  if (module.ends_with("norm"))
    return "a few outlier channels make up its input's size and hide the error of the rest, which the norm brings out";
  return "the residual and what is added to it nearly cancel";
}

const Swap* best_of(const Result& result, Swap::Kind kind) {
  const Swap* best = nullptr;
  for (const Swap& swap : result.swaps) {
    if (swap.kind == kind && (best == nullptr || swap.kl_gain() > best->kl_gain())) best = &swap;
  }
  return best;
}

Finding amplified(const Result& result, const ModuleErrors& module) {
  std::string text = fmt::format(
      "{} is an amplifier: no module is wrong, but errors leave it {:.1f} times as large as they came ({:.3g} % in, "
      "{:.3g} % out), computed without any rounding; {}",
      module.module, *module.gain(), 100.0 * *module.input_error, 100.0 * *module.carried_error,
      why_it_amplifies(result, module.module));
  const Swap* precision = best_of(result, Swap::Kind::PRECISION);
  if (precision != nullptr && precision->kl_share() > 0.05) {
    text += fmt::format("; what helps most is more precision ahead of it: {} in {} takes {:.0f} % of the KL divergence",
                        precision->what, precision->format, 100.0 * precision->kl_share());
  }
  return {.cause = Cause::AMPLIFIER, .culprit = module.module, .sentence = text, .remedy = nullptr};
}

/// The narrowest part of the best group that stands for it.
const Swap* guilty_swap(const Result& result) {
  const Swap* best = nullptr;
  const auto in_full = [](const Swap& s) { return s.kind == Swap::Kind::PRECISION && s.format == "f32"; };
  for (const Swap& swap : result.swaps) {
    if (in_full(swap) && (best == nullptr || swap.kl_gain() > best->kl_gain())) best = &swap;
  }
  if (best == nullptr) return nullptr;
  const Swap* guilty = best;
  const auto width = [&](const Swap& s) { return s.last_layer < 0 ? 0 : s.last_layer - s.first_layer; };
  for (const Swap& swap : result.swaps) {
    if (in_full(swap) && swap.group == best->group && swap.kl_gain() >= kMostOfTheGroup * best->kl_gain() &&
        width(swap) < width(*guilty))
      guilty = &swap;
  }
  return guilty;
}

Finding imprecise(const Session& session, const Result& result, const Swap& guilty) {
  const Swap* remedy = &guilty;
  for (const Swap& swap : result.swaps) {
    const bool narrower = swap.kind == Swap::Kind::PRECISION && swap.what == guilty.what &&
                          element_bits(parse_data_type(swap.format)) < element_bits(parse_data_type(remedy->format));
    if (narrower && swap.kl_gain() >= kMostOfTheGroup * guilty.kl_gain()) remedy = &swap;
  }
  const Inputs& inputs = session.inputs();
  const std::int64_t layers = session.layers();
  const auto& groups = tensor_groups();
  const auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.name == guilty.group; });
  Finding finding{.cause = Cause::PRECISION, .culprit = guilty.what};
  finding.remedy = with_format(inputs.precision_file, inputs.precision, *group, parse_data_type(remedy->format),
                               guilty.first_layer, guilty.last_layer < 0 ? layers - 1 : guilty.last_layer, layers);
  const bool one_layer = guilty.last_layer >= 0 && guilty.first_layer == guilty.last_layer && layers > 1;
  const std::string module = guilty.group.starts_with("ff")                                ? "mlp"
                             : guilty.group.starts_with('w') || guilty.group == "kv_cache" ? "attention"
                                                                                           : "";
  const std::string where =
      one_layer && !module.empty() ? fmt::format("layers.{}.{}: ", guilty.first_layer, module) : "";
  if (!where.empty()) finding.module = where.substr(0, where.size() - 2);
  finding.sentence = fmt::format(
      "{}{} in {} loses {:.0f} % of the KL divergence ({:+.1f} points of top-1); keep {} in {}, which gets {:.0f} % of "
      "it back",
      where, guilty.what, guilty.from, 100.0 * guilty.kl_share(), 100.0 * guilty.top1_gain(), guilty.what,
      remedy->format, 100.0 * remedy->kl_share());
  return finding;
}

Finding nothing_stands_out(const Result& result, bool healthy) {
  const Swap* best = best_of(result, Swap::Kind::PRECISION);
  if (best == nullptr) best = best_of(result, Swap::Kind::MODULE);
  const std::string largest =
      best == nullptr || best->kl_share() <= 0.0
          ? ""
          : fmt::format("; the largest part of it, {:.0f} %, is {}", 100.0 * best->kl_share(), best->what);
  if (healthy) {
    return {.cause = Cause::NONE,
            .culprit = "",
            .sentence = fmt::format("no culprit: no module is wrong, and what rounding costs is small (KL divergence "
                                    "{:.2g}, top-1 {:.1f} %){}",
                                    result.decode.kl_divergence, 100.0 * result.decode.top1, largest),
            .remedy = nullptr};
  }
  return {
      .cause = Cause::SPREAD,
      .culprit = "",
      .sentence = fmt::format("no single culprit: no module is wrong, and the loss (KL divergence {:.2g}) is spread "
                              "over many formats{}; choose a wider precision for all",
                              result.decode.kl_divergence, largest),
      .remedy = nullptr};
}

/// Whether every module is as good as the preset accuracy must be.
bool all_within_limits(const Result& result) {
  const Thresholds limits = thresholds_for("accuracy");
  return std::all_of(result.modules.begin(), result.modules.end(), [&](const ModuleErrors& module) {
    const double least = limits.pcc_of(module.module);
    return (!module.local_prefill || module.local_prefill->pcc >= least) &&
           (!module.local_decode || module.local_decode->pcc >= least);
  });
}

} // namespace

std::vector<const ModuleErrors*> wrong_modules(const Session& session, const Result& result, bool decode_alone) {
  std::vector<const ModuleErrors*> all;
  for (const ModuleErrors& module : result.modules) {
    const bool failed = !module.local_prefill || !module.local_decode;
    const bool prefill = failed || wrong(session, module.full_prefill, module.local_prefill);
    const bool decode = wrong(session, module.full_decode, module.local_decode);
    if (decode_alone ? decode && !prefill : prefill) all.push_back(&module);
  }
  std::vector<const ModuleErrors*> innermost;
  for (const ModuleErrors* module : all) {
    if (!explained(module->module, all)) innermost.push_back(module);
  }
  return innermost;
}

std::int64_t first_wrong_state(const Result& result) {
  for (std::size_t state = 0; state < result.decode_states.size(); ++state) {
    const ModuleErrors* module = result.module(name_of_state(static_cast<std::int64_t>(state), result.layers));
    const double in_prefill = module != nullptr ? relative(module->accumulated) : 0.0;
    if (!(result.decode_states[state] <= std::max(kMatters, kStandsOut * in_prefill)))
      return static_cast<std::int64_t>(state);
  }
  const double decode = 1.0 - result.decode.pcc;
  const double prefill = 1.0 - result.prefill.pcc;
  return decode > 1e-3 && decode > kStandsOut * kStandsOut * prefill ? result.layers + 1 : -1;
}

namespace {

Finding name_culprit(const Session& session, const DeviceRun& run, const Result& result) {
  if (const auto wrong = wrong_modules(session, result, false); !wrong.empty()) return wrong_module(result, wrong);
  if (const auto wrong = wrong_modules(session, result, true); !wrong.empty()) return wrong_in_decode(result, wrong);
  if (const std::int64_t state = first_wrong_state(result); state >= 0) return wrong_state(run, result, state);
  const double pcc = std::min(result.prefill.pcc, result.decode.pcc);
  const double kl = std::max(result.prefill.kl_divergence, result.decode.kl_divergence);
  const bool healthy = pcc >= thresholds_for("accuracy").logits_pcc && kl <= kHealthyKl;
  const bool modules_are_good = all_within_limits(result);
  if (healthy && modules_are_good) return nothing_stands_out(result, true);
  if (modules_are_good) {
    if (const ModuleErrors* module = amplifier(result)) return amplified(result, *module);
  }
  const Swap* guilty = guilty_swap(result);
  if (guilty != nullptr && guilty->kl_share() >= kCulpritShare) return imprecise(session, result, *guilty);
  if (healthy) return nothing_stands_out(result, true);
  if (const ModuleErrors* module = amplifier(result)) return amplified(result, *module);
  return nothing_stands_out(result, false);
}

} // namespace

Finding judge(const Session& session, const DeviceRun& run, const Result& result) {
  Finding finding = name_culprit(session, run, result);
  if (finding.module.empty() && result.module(finding.culprit) != nullptr) finding.module = finding.culprit;
  return finding;
}

} // namespace tessera::bringup::bisect
