// Stages that run the model in other forms: data-parallel and tensor-parallel.

#include <algorithm>
#include <cstring>

#include "tessera/base/error.hpp"
#include "tessera/bringup/advice.hpp"
#include "tessera/bringup/judge.hpp"
#include "tessera/bringup/stages/stage_support.hpp"
#include "tessera/bringup/stages/stages.hpp"
#include "tessera/metrics/comparison.hpp"

namespace tessera::bringup {
namespace {

using tensor::HostTensor;

std::vector<const ParallelForm*> forms_of(const StageContext& context, bool shares_layers) {
  std::vector<const ParallelForm*> forms;
  for (const ParallelForm& form : context.inputs().parallel_forms) {
    if (form.shares_layers == shares_layers) forms.push_back(&form);
  }
  return forms;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

/// Adds how a form's values compare with those of the one copy that the stages before brought up: the same bits from
/// copies; from chips that share layers the limit that the values have against the reference.
void judge_against_one(Row& row, const ParallelForm& form, std::span<const float> one, std::span<const float> actual,
                       double min_pcc) {
  if (form.shares_layers) {
    row.figures.push_back({"pcc_to_one_copy", metrics::pcc(one, actual), Bound{Bound::Kind::AT_LEAST, min_pcc}});
    row.figures.push_back({"max_abs_error_to_one_copy", metrics::max_abs_error(one, actual), {}});
  } else {
    row.figures.push_back(
        {"equal_bits_to_one_copy", same_bits(one, actual) ? 1.0 : 0.0, Bound{Bound::Kind::AT_LEAST, 1.0}});
  }
  settle(row);
}

std::string advice_of(const Row& row, const ParallelForm& form, std::string_view precision) {
  if (row.passed) return {};
  const Figure& last = row.figures.back();
  if (!form.shares_layers && !last.holds())
    return "a copy differs from the one that passed: look for an op whose result depends on the other users of its "
           "step";
  return fmt::format(
      "{}; it passed on one copy: look at how its weights are cut and at its collectives (docs/parallelism.md)",
      advice_for(row, precision));
}

Row judge_module(const StageContext& context, const ParallelForm& form, nn::CausalLM& model, const std::string& module,
                 const ModuleCase& expected, nn::Phase phase) {
  const std::string name = fmt::format("{}: {}{}", form.name, module, phase == nn::Phase::DECODE ? "" : " in prefill");
  const std::int64_t users =
      std::min({expected.input.shape[0], model.info().max_users, context.device().info().max_users});
  const std::int64_t positions = std::min(expected.input.shape[1], model.info().context);
  const double limit = context.limits().pcc_of(module);
  Row row;
  try {
    const HostTensor input = corner(expected.input, users, positions);
    const HostTensor actual = model.run_module(module, input, phase);
    row = judge_tensor(name, corner(expected.expected, users, positions), actual, limit);
    judge_against_one(row, form, context.device().run_module(module, input, phase).data, actual.data, limit);
  } catch (const base::Error& error) {
    row = {.module = name, .passed = false, .notes = {error.what()}};
  }
  if (!row.figures.empty()) row.advice = advice_of(row, form, context.options().precision);
  return row;
}

/// The beginnings of the texts whose logits the reference knows, half of each by prefill and the rest by decode.
struct Beginnings {
  std::vector<Ids> ids;
  std::vector<const ReferenceOutput*> expected;
  generate::ForwardOptions options;
  std::vector<generate::SequenceOutput> of_one_copy;
};

Beginnings beginnings(const StageContext& context) {
  Beginnings texts;
  std::size_t longest = 0;
  for (const Ids& text : context.material().texts) {
    const ReferenceOutput* expected = context.reference().sequence(text);
    if (expected == nullptr || expected->first_position(text.size()) > 0) continue;
    texts.options.whole_lengths.push_back(static_cast<std::int64_t>(text.size()));
    texts.expected.push_back(expected);
    texts.ids.emplace_back(
        text.begin(), text.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(
                                         text.size(), static_cast<std::size_t>(context.options().decode_positions))));
    longest = std::max(longest, texts.ids.back().size());
  }
  texts.options.prefill_positions = static_cast<std::int64_t>((longest + 1) / 2);
  if (!texts.ids.empty()) texts.of_one_copy = run_device(context, texts.ids, texts.options, "one copy");
  return texts;
}

Row judge_model(const StageContext& context, const ParallelForm& form, nn::CausalLM& model, const Beginnings& texts) {
  const auto outputs = run_on(model, context, texts.ids, texts.options, form.name);
  Pair logits;
  std::vector<float> one;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto positions = static_cast<std::int64_t>(texts.ids[i].size());
    logits.add(texts.expected[i]->logits, 0, outputs[i].logits, 0, positions);
    const auto& values = texts.of_one_copy[i].logits.data;
    one.insert(one.end(), values.begin(), values.end());
  }
  Row row =
      judge_logits(fmt::format("{}: logits", form.name), logits, model.info().vocab_size, context.limits(), false);
  judge_against_one(row, form, one, logits.actual, context.limits().logits_pcc);
  row.advice = advice_of(row, form, context.options().precision);
  return row;
}

std::vector<Row> judge_forms(const StageContext& context, bool shares_layers) {
  const auto forms = forms_of(context, shares_layers);
  if (forms.empty())
    throw Skipped{
        fmt::format("{} has {}", context.options().board,
                    shares_layers ? "no chips that could share the model's layers" : "no chips for more copies")};
  const Beginnings texts = beginnings(context);
  std::vector<Row> rows;
  for (const ParallelForm* form : forms) {
    context.advance(0, form->name + ", loading");
    const auto model = form->open();
    for (const std::string& module : chosen_modules(context)) {
      const ModuleCase* expected = context.reference().module_case(module);
      if (expected == nullptr) continue;
      context.advance(1, fmt::format("{}, {}", form->name, module));
      rows.push_back(judge_module(context, *form, *model, module, *expected, nn::Phase::DECODE));
      if (!is_whole_layer(module)) continue; // prefill cuts and sums as decode does
      rows.push_back(judge_module(context, *form, *model, module, *expected, nn::Phase::PREFILL));
    }
    if (!texts.ids.empty()) rows.push_back(judge_model(context, *form, *model, texts));
  }
  if (rows.empty())
    throw Skipped{
        fmt::format("{} has neither module outputs nor logits of whole texts", context.reference().description())};
  return rows;
}

std::int64_t work_of(const StageContext& context, bool shares_layers) {
  const auto forms = static_cast<std::int64_t>(forms_of(context, shares_layers).size());
  const auto texts = static_cast<std::int64_t>(context.material().texts.size());
  return forms *
         (static_cast<std::int64_t>(chosen_modules(context).size()) + 2 * texts * context.options().decode_positions);
}

} // namespace

std::vector<Row> data_parallel(const StageContext& context) {
  return judge_forms(context, false);
}
std::vector<Row> tensor_parallel(const StageContext& context) {
  return judge_forms(context, true);
}

std::int64_t data_parallel_work(const StageContext& context) {
  return work_of(context, false);
}
std::int64_t tensor_parallel_work(const StageContext& context) {
  return work_of(context, true);
}

} // namespace tessera::bringup
