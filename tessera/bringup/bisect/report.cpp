#include "tessera/bringup/bisect/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace tessera::bringup::bisect {
namespace {

constexpr std::size_t kModulesShown = 16;
constexpr std::size_t kSwapsShown = 12;

std::string percent(const std::optional<double>& value) {
  return value ? fmt::format("{:.3g} %", 100.0 * *value) : "";
}

/// Whole percent, without a sign for what rounds to nothing.
std::string share(double value) {
  const double percents = std::round(100.0 * value);
  return fmt::format("{:.0f} %", percents == 0.0 ? 0.0 : percents);
}

std::optional<double> relative(const ModuleErrors::Figures& figures) {
  if (!figures) return std::nullopt;
  return figures->relative_frobenius_error;
}

/// The larger of two phases.
std::optional<double> worse(const ModuleErrors::Figures& a, const ModuleErrors::Figures& b) {
  if (!a) return relative(b);
  return b ? std::max(*relative(a), *relative(b)) : *relative(a);
}

using Lines = std::vector<std::vector<std::string>>;

/// Names to the left, figures to the right.
std::string columns(const Lines& lines) {
  std::vector<std::size_t> widths(lines.front().size());
  for (const auto& cells : lines) {
    for (std::size_t i = 0; i < cells.size(); ++i) widths[i] = std::max(widths[i], cells[i].size());
  }
  std::string text;
  for (const auto& cells : lines) {
    std::string line = fmt::format("{:<{}}", cells.front(), widths.front());
    for (std::size_t i = 1; i < cells.size(); ++i) line += fmt::format("  {:>{}}", cells[i], widths[i]);
    while (line.ends_with(' ')) line.pop_back();
    text += line + "\n";
  }
  return text;
}

std::vector<const ModuleErrors*> shown_modules(const Result& result) {
  std::vector<const ModuleErrors*> shown;
  for (const ModuleErrors& module : result.modules) shown.push_back(&module);
  if (shown.size() <= 2 * kModulesShown) return shown;
  std::stable_sort(shown.begin(), shown.end(),
                   [](const auto* a, const auto* b) { return a->local_error() > b->local_error(); });
  shown.resize(kModulesShown);
  std::sort(shown.begin(), shown.end()); // they lie in the model's order
  return shown;
}

std::string modules_table(const Result& result) {
  const auto shown = shown_modules(result);
  std::string text = fmt::format("Errors of {} modules{}, relative to their outputs\n", shown.size(),
                                 shown.size() < result.modules.size()
                                     ? fmt::format(" of {}, those with the largest local errors", result.modules.size())
                                     : "");
  Lines lines{{"module", "local PCC", "max abs", "local", "in decode", "in full", "accumulated", "gain"}};
  for (const ModuleErrors* module : shown) {
    const auto gain = module->gain();
    lines.push_back({module->module,
                     module->local_prefill ? fmt::format("{:.6f}", module->local_prefill->pcc) : "failed",
                     module->local_prefill ? fmt::format("{:.3g}", module->local_prefill->max_abs_error) : "",
                     percent(relative(module->local_prefill)), percent(relative(module->local_decode)),
                     percent(worse(module->full_prefill, module->full_decode)), percent(relative(module->accumulated)),
                     gain ? fmt::format("{:.2f}", *gain) : ""});
  }
  text += columns(lines);
  for (const ModuleErrors& module : result.modules) {
    if (!module.worst_op) continue;
    const OpRow& op = *module.worst_op;
    text += fmt::format("{}: of its ops {} has the largest error of its own, {:.3g} %{}\n", module.module, op.name,
                        100.0 * op.figures.relative_frobenius_error, op.figures.passed ? "" : ", beyond its limit");
  }
  return text;
}

std::string local_error_of(const Result& result, const Swap& swap) {
  const ModuleErrors* module = swap.kind == Swap::Kind::MODULE ? result.module(swap.what) : nullptr;
  return module != nullptr ? percent(relative(module->local_prefill)) : "";
}

std::string swaps_table(const Result& result) {
  if (result.swaps.empty()) return "";
  std::string text = "What is gained with one thing put right, ranked\n";
  Lines lines{{"what", "instead", "local", "of the error", "KL gain", "of the KL", "top-1 gain"}};
  for (std::size_t i = 0; i < std::min(result.swaps.size(), kSwapsShown); ++i) {
    const Swap& swap = result.swaps[i];
    const std::string instead = swap.kind == Swap::Kind::MODULE ? "reference" : swap.from + " -> " + swap.format;
    lines.push_back({swap.what, instead, local_error_of(result, swap), share(swap.error_share()),
                     fmt::format("{:.2e}", swap.kl_gain()), share(swap.kl_share()),
                     fmt::format("{:+.2f} %", 100.0 * swap.top1_gain())});
  }
  text += columns(lines);
  if (result.swaps.size() > kSwapsShown)
    text += fmt::format("({} more in --json)\n", result.swaps.size() - kSwapsShown);
  return text;
}

nlohmann::json figures_json(const ModuleErrors::Figures& figures) {
  if (!figures) return nullptr;
  return {{"pcc", figures->pcc},
          {"max_abs_error", figures->max_abs_error},
          {"relative_frobenius_error", figures->relative_frobenius_error}};
}

nlohmann::json agreement_json(const Agreement& agreement) {
  return {{"kl_divergence", agreement.kl_divergence},
          {"top1", agreement.top1},
          {"top5", agreement.top5},
          {"pcc", agreement.pcc}};
}

nlohmann::json optional_json(const std::optional<double>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
}

nlohmann::json op_json(const std::optional<OpRow>& op) {
  if (!op) return nullptr;
  return {{"name", op->name},
          {"scope", op->scope},
          {"pcc", op->figures.pcc},
          {"relative_frobenius_error", op->figures.relative_frobenius_error},
          {"passed", op->figures.passed}};
}

nlohmann::json module_json(const ModuleErrors& module) {
  return {{"module", module.module},
          {"local_prefill", figures_json(module.local_prefill)},
          {"local_decode", figures_json(module.local_decode)},
          {"full_prefill", figures_json(module.full_prefill)},
          {"full_decode", figures_json(module.full_decode)},
          {"accumulated", figures_json(module.accumulated)},
          {"input_error", optional_json(module.input_error)},
          {"carried_error", optional_json(module.carried_error)},
          {"gain", optional_json(module.gain())},
          {"first_wrong_position", module.first_wrong_position},
          {"worst_op", op_json(module.worst_op)},
          {"note", module.note}};
}

nlohmann::json swap_json(const Swap& swap) {
  nlohmann::json json{{"kind", swap.kind == Swap::Kind::MODULE ? "module" : "precision"},
                      {"what", swap.what},
                      {"before", agreement_json(swap.before)},
                      {"after", agreement_json(swap.after)},
                      {"kl_gain", swap.kl_gain()},
                      {"kl_share", swap.kl_share()},
                      {"top1_gain", swap.top1_gain()},
                      {"error_share", swap.error_share()}};
  if (swap.kind == Swap::Kind::PRECISION) {
    json["group"] = swap.group;
    json["from"] = swap.from;
    json["format"] = swap.format;
    if (swap.last_layer >= 0) json["layers"] = {swap.first_layer, swap.last_layer};
  }
  return json;
}

const char* name_of(Cause cause) {
  switch (cause) {
    case Cause::MODULE:
      return "module";
    case Cause::DECODE:
      return "decode";
    case Cause::PRECISION:
      return "precision";
    case Cause::AMPLIFIER:
      return "amplifier";
    case Cause::SPREAD:
      return "spread";
    default:
      return "none";
  }
}

} // namespace

std::string to_table(const Result& result) {
  std::string text =
      fmt::format("precision {}, {} numerics, {} positions\n", result.precision, result.numerics, result.positions);
  for (const auto& [phase, figures] : {std::pair("prefill", result.prefill), std::pair("decode", result.decode)}) {
    text += fmt::format("{:<8} top-1 {:.2f} %, top-5 {:.2f} %, KL divergence {:.3g}, PCC {:.6f}\n", phase,
                        100.0 * figures.top1, 100.0 * figures.top5, figures.kl_divergence, figures.pcc);
  }
  text += "\n" + modules_table(result);
  for (const Flips& flips : result.flips) {
    text += fmt::format("layers.{}: {} of {} choices of experts flip\n", flips.layer, flips.flipped, flips.choices);
  }
  if (const std::string swaps = swaps_table(result); !swaps.empty()) text += "\n" + swaps;
  for (const std::string& note : result.notes) text += "note: " + note + "\n";
  return text + "\n" + result.finding.sentence + "\n";
}

nlohmann::json to_json(const Result& result) {
  nlohmann::json json{{"precision", result.precision},
                      {"numerics", result.numerics},
                      {"layers", result.layers},
                      {"positions", result.positions},
                      {"prefill", agreement_json(result.prefill)},
                      {"decode", agreement_json(result.decode)},
                      {"decode_states", result.decode_states},
                      {"notes", result.notes},
                      {"modules", nlohmann::json::array()},
                      {"expert_flips", nlohmann::json::array()},
                      {"swaps", nlohmann::json::array()}};
  for (const ModuleErrors& module : result.modules) json["modules"].push_back(module_json(module));
  for (const Flips& flips : result.flips) {
    json["expert_flips"].push_back({{"layer", flips.layer}, {"choices", flips.choices}, {"flipped", flips.flipped}});
  }
  for (const Swap& swap : result.swaps) json["swaps"].push_back(swap_json(swap));
  json["finding"] = {{"cause", name_of(result.finding.cause)},
                     {"culprit", result.finding.culprit},
                     {"module", result.finding.module},
                     {"sentence", result.finding.sentence},
                     {"remedy", result.finding.remedy}};
  return json;
}

} // namespace tessera::bringup::bisect
