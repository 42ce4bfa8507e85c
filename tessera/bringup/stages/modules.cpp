#include <algorithm>

#include "tessera/bringup/advice.hpp"
#include "tessera/bringup/judge.hpp"
#include "tessera/bringup/l1_watch.hpp"
#include "tessera/bringup/stages/stage_support.hpp"
#include "tessera/bringup/stages/stages.hpp"

namespace tessera::bringup {
namespace {

using tensor::HostTensor;

Row judge_module(const StageContext& context, const std::string& module, const ModuleCase& expected, nn::Phase phase) {
  const nn::CausalLMInfo& model = context.device().info();
  const std::int64_t users = std::min(expected.input.shape[0], model.max_users);
  const std::int64_t positions = std::min(expected.input.shape[1], model.context);
  Row row = judge_on_device(module, context.inputs().devices, [&] {
    const HostTensor actual = context.device().run_module(module, corner(expected.input, users, positions), phase);
    return judge_tensor(module, corner(expected.expected, users, positions), actual, context.limits().pcc_of(module));
  });
  row.advice = advice_for(row, context.options().precision);
  return row;
}

std::vector<Row> judge_modules(const StageContext& context, nn::Phase phase, bool (*wanted)(std::string_view)) {
  std::vector<Row> rows;
  for (const std::string& module : chosen_modules(context)) {
    if (!wanted(module)) continue;
    context.advance(0, module);
    const ModuleCase* expected = context.reference().module_case(module);
    if (expected == nullptr) continue;
    rows.push_back(judge_module(context, module, *expected, phase));
    context.advance(1, module);
  }
  if (rows.empty()) {
    throw Skipped{fmt::format("{} has no module outputs (hidden_states.N, model.layers.N.mlp, ...)",
                              context.reference().description())};
  }
  return rows;
}

bool any_module(std::string_view) {
  return true;
}
bool no_whole_layer(std::string_view module) {
  return !is_whole_layer(module);
}

/// A module run counts as one position through the model: short as its sequences are, the figure is rough.
std::int64_t count_modules(const StageContext& context, bool (*wanted)(std::string_view)) {
  const auto names = chosen_modules(context);
  return std::count_if(names.begin(), names.end(), wanted);
}

} // namespace

std::vector<Row> decode_modules(const StageContext& context) {
  return judge_modules(context, nn::Phase::DECODE, no_whole_layer);
}
std::vector<Row> decoder_layer(const StageContext& context) {
  return judge_modules(context, nn::Phase::DECODE, is_whole_layer);
}
std::vector<Row> prefill_modules(const StageContext& context) {
  return judge_modules(context, nn::Phase::PREFILL, any_module);
}

std::int64_t decode_modules_work(const StageContext& context) {
  return count_modules(context, no_whole_layer);
}
std::int64_t decoder_layer_work(const StageContext& context) {
  return count_modules(context, is_whole_layer);
}
std::int64_t prefill_modules_work(const StageContext& context) {
  return count_modules(context, any_module);
}

} // namespace tessera::bringup
