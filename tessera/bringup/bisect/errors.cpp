#include "tessera/bringup/bisect/errors.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "tessera/base/error.hpp"
#include "tessera/bringup/stages/stage_support.hpp"
#include "tessera/generate/forward.hpp"

namespace tessera::bringup::bisect {
namespace {

using metrics::relative_frobenius_error;

// How much larger than before, or than in prefill, an error must be to stand out.
constexpr double kStandsOut = 4.0;
// Decode runs position by position: so many times the work of a prefill of the same texts, roughly.
constexpr std::int64_t kDecodeRuns = 4;
// A right row leaves no more than the formats' rounding, where there is no model in full precision.
constexpr double kWrongRow = 0.1;

/// The reference's hidden states on the texts: what layer `index` reads.
const HostTensor& reference_state(const Session& session, std::int64_t index) {
  return session.reference()
      .at(index < session.layers() ? fmt::format("layers.{}.input_norm", index) : "final_norm")
      .input;
}

/// What one module makes of the reference's inputs.
ModuleErrors::Figures local(nn::CausalLM& model, const std::string& module, const ModuleCase& expected, nn::Phase phase,
                            std::string& note, HostTensor* output) {
  try {
    HostTensor actual = model.run_module(module, expected.input, phase);
    base::require(actual.shape == expected.expected.shape, "[bisect] {} must give {}; received {}", module,
                  expected.expected.shape, actual.shape);
    const auto figures = metrics::compare(expected.expected.data, actual.data);
    if (output != nullptr) *output = std::move(actual);
    return figures;
  } catch (const base::Error& error) {
    note = error.what();
    return std::nullopt;
  }
}

/// The experts that a wrong mixture of experts is wrong in.
std::string experts_note(const Session& session, const std::string& module, const ModuleCase& expected,
                         const HostTensor& actual, double limit) {
  if (!session.inputs().router || !module.ends_with(".mlp") || actual.data.empty()) return "";
  const auto router = session.inputs().router(std::stoll(module.substr(7)));
  if (!router) return "";
  const auto experts = wrong_experts(*router, expected.input, row_errors(expected.expected, actual), limit);
  if (experts.empty()) return "";
  return fmt::format("only tokens of {} {} come out wrong", experts.size() == 1 ? "expert" : "experts",
                     fmt::join(experts, ", "));
}

ModuleErrors errors_of(Session& session, const std::string& module, nn::CausalLM* full) {
  const ModuleCase& whole = session.reference().at(module);
  const std::int64_t users = whole.input.shape[0];
  const std::int64_t positions = std::min(whole.input.shape[1], session.options().decode_positions);
  const ModuleCase first{corner(whole.input, users, positions), corner(whole.expected, users, positions)};
  nn::CausalLM& device = session.inputs().device;
  ModuleErrors errors{.module = module};
  HostTensor prefill; // of the model that rounds least
  HostTensor decode;
  errors.local_prefill = local(device, module, whole, nn::Phase::PREFILL, errors.note, &prefill);
  session.advance(1, module);
  errors.local_decode = local(device, module, first, nn::Phase::DECODE, errors.note, &decode);
  session.advance(kDecodeRuns, module);
  if (full != nullptr) {
    errors.full_prefill = local(*full, module, whole, nn::Phase::PREFILL, errors.note, &prefill);
    errors.full_decode = local(*full, module, first, nn::Phase::DECODE, errors.note, &decode);
    session.advance(1 + kDecodeRuns, module + " in full precision");
  }
  const double limit = full != nullptr ? session.full_limit() : kWrongRow;
  if (errors.note.empty()) errors.note = experts_note(session, module, whole, prefill, limit);
  if (!decode.data.empty()) errors.first_wrong_position = first_wrong_position(first.expected, decode, limit);
  return errors;
}

} // namespace

std::vector<double> row_errors(const HostTensor& expected, const HostTensor& actual) {
  std::vector<double> errors;
  const std::int64_t rows = expected.shape.volume() / expected.shape[-1];
  for (std::int64_t row = 0; row < rows; ++row) {
    errors.push_back(relative_frobenius_error(expected.row(row), actual.row(row)));
  }
  return errors;
}

std::int64_t first_wrong_position(const HostTensor& expected, const HostTensor& actual, double limit) {
  const std::vector<double> rows = row_errors(expected, actual);
  const std::int64_t positions = expected.shape[1];
  double worst_before = 0.0;
  for (std::int64_t position = 0; position < positions; ++position) {
    double worst = 0.0;
    for (std::int64_t text = 0; text < expected.shape[0]; ++text) {
      worst = std::max(worst, rows[static_cast<std::size_t>(text * positions + position)]);
    }
    if (worst > limit) return position > 0 && worst > kStandsOut * worst_before ? position : -1;
    worst_before = std::max(worst_before, worst);
  }
  return -1;
}

DeviceRun run_device(Session& session) {
  const std::int64_t runs = session.layers() * static_cast<std::int64_t>(modules_of_layer(0, session.form()).size());
  session.plan(runs * (1 + kDecodeRuns));
  std::string doing;
  std::int64_t weight = 0;
  std::int64_t told = 0;
  const auto progress = [&](std::int64_t done, std::int64_t total) {
    const std::int64_t now = weight * done / std::max<std::int64_t>(total, 1);
    session.advance(now - told, doing);
    told = now;
  };
  const auto run = [&](std::int64_t prefilled, const char* name, std::int64_t work) {
    doing = name;
    weight = work;
    told = 0;
    return generate::stack(generate::forward(
        session.inputs().device, session.texts(),
        {.prefill_positions = prefilled, .hidden_states = true, .whole_lengths = {}, .progress = progress}));
  };
  generate::SequenceOutput prefill = run(generate::ForwardOptions::kAll, "the whole model, prefill", runs);
  generate::SequenceOutput decode = run(0, "the whole model, decode", runs * kDecodeRuns);
  DeviceRun result;
  for (std::int64_t index = 0; index <= session.layers(); ++index) {
    const auto i = static_cast<std::size_t>(index);
    const HostTensor& expected = reference_state(session, index);
    const double in_prefill = relative_frobenius_error(expected.data, prefill.hidden_states[i].data);
    result.decode_errors.push_back(relative_frobenius_error(expected.data, decode.hidden_states[i].data));
    result.decode_first_wrong.push_back(first_wrong_position(expected, decode.hidden_states[i],
                                                             std::max(session.full_limit(), kStandsOut * in_prefill)));
  }
  result.states = std::move(prefill.hidden_states);
  result.logits = std::move(prefill.logits);
  result.decode_logits = std::move(decode.logits);
  return result;
}

std::vector<ModuleErrors> local_errors(Session& session, nn::CausalLM* full) {
  std::vector<ModuleErrors> all;
  const std::vector<std::string> names = session.inputs().device.module_names();
  session.plan(static_cast<std::int64_t>(names.size()) * (1 + kDecodeRuns) * (full != nullptr ? 2 : 1));
  for (const std::string& module : names) all.push_back(errors_of(session, module, full));
  return all;
}

void add_accumulated(Session& session, const DeviceRun& run, std::vector<ModuleErrors>& modules) {
  Trace own;
  const RunModule device = modules_of(session.inputs().device);
  const RunModule traced = tracing(device, own);
  const std::int64_t layers = session.layers();
  session.plan(2 * static_cast<std::int64_t>(modules.size()));
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    const auto i = static_cast<std::size_t>(layer);
    run_layer(traced, layer, session.form(), run.states[i]);
    own[fmt::format("layers.{}", layer)] = {run.states[i], run.states[i + 1]};
    session.advance(static_cast<std::int64_t>(modules_of_layer(layer, session.form()).size()), "accumulated errors");
  }
  traced("final_norm", run.states.back());
  own["embedding"] = {session.ids(), run.states.front()};
  own["lm_head"] = {own.at("final_norm").expected, run.logits};
  for (ModuleErrors& errors : modules) {
    const auto found = own.find(errors.module);
    if (found == own.end()) continue; // rope: its inputs are inside the attention
    const ModuleCase& right = session.reference().at(errors.module);
    errors.accumulated = metrics::compare(right.expected.data, found->second.expected.data);
    if (errors.module == "embedding") continue;
    errors.input_error = relative_frobenius_error(right.input.data, found->second.input.data);
    const HostTensor carried =
        session.inputs().reference.run_module(errors.module, found->second.input, nn::Phase::PREFILL);
    errors.carried_error = relative_frobenius_error(right.expected.data, carried.data);
    session.advance(1, "errors carried by " + errors.module);
  }
}

std::vector<Flips> expert_flips(Session& session, const DeviceRun& run) {
  std::vector<Flips> all;
  if (!session.inputs().router) return all;
  const RunModule device = modules_of(session.inputs().device);
  for (std::int64_t layer = 0; layer < session.layers(); ++layer) {
    const auto router = session.inputs().router(layer);
    if (!router) continue;
    Trace own;
    const RunModule traced = tracing(device, own);
    run_layer(traced, layer, session.form(), run.states[static_cast<std::size_t>(layer)]);
    const std::string mlp = fmt::format("layers.{}.mlp", layer);
    all.push_back(count_flips(layer, *router, session.reference().at(mlp).input, own.at(mlp).input));
  }
  return all;
}

} // namespace tessera::bringup::bisect
