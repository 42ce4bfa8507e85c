#include <algorithm>
#include <cmath>

#include "tessera/bringup/stages/stage_support.hpp"
#include "tessera/bringup/stages/stages.hpp"
#include "tessera/metrics/logits.hpp"

namespace tessera::bringup {
namespace {

Row check_ids(const Material& material, std::int64_t vocab_size) {
  Row row{.module = "token ids"};
  std::int32_t lowest = material.texts.front().front();
  std::int32_t highest = lowest;
  for (const auto* sequences : {&material.texts, &material.prompts}) {
    for (const Ids& ids : *sequences) {
      const auto [low, high] = std::minmax_element(ids.begin(), ids.end());
      lowest = std::min(lowest, *low);
      highest = std::max(highest, *high);
    }
  }
  row.figures = {
      {"lowest", static_cast<double>(lowest), Bound{Bound::Kind::AT_LEAST, 0.0}},
      {"highest", static_cast<double>(highest), Bound{Bound::Kind::AT_MOST, static_cast<double>(vocab_size - 1)}}};
  row.passed = row.figures[0].holds() && row.figures[1].holds();
  if (!row.passed) row.advice = "the tokenizer belongs to another model, or vocab_size in config.json is wrong";
  return row;
}

/// Mean cross entropy of the texts' next ids under the reference.
Row reference_loss(const StageContext& context) {
  Row row{.module = "reference on the text"};
  double sum = 0.0;
  std::int64_t count = 0;
  for (const Ids& text : context.material().texts) {
    const ReferenceOutput* output = context.reference().sequence(text);
    context.advance(static_cast<std::int64_t>(text.size()), "reference on the text");
    if (output == nullptr) continue;
    const std::int64_t first = output->first_position(text.size());
    for (std::int64_t position = first; position + 1 < static_cast<std::int64_t>(text.size()); ++position) {
      sum += metrics::cross_entropy(output->logits.row(position - first), text[static_cast<std::size_t>(position) + 1]);
      ++count;
    }
  }
  if (count == 0) {
    row.notes.push_back("the texts are too short for a loss");
    return row;
  }
  const double loss = sum / static_cast<double>(count);
  row.figures = {{"loss", loss, {}}, {"perplexity", std::exp(loss), {}}, {"positions", static_cast<double>(count), {}}};
  row.passed = std::isfinite(loss);
  if (!row.passed) row.advice = "the reference's logits are not finite: check the weights for NaN and infinity";
  const double guessing = std::log(static_cast<double>(context.device().info().vocab_size));
  if (row.passed && loss >= guessing) {
    row.notes.push_back(
        fmt::format("no better than guessing, which has loss {:.2f}: are text, tokenizer and weights of "
                    "one kind? (random weights do this)",
                    guessing));
  }
  return row;
}

} // namespace

std::vector<Row> baseline(const StageContext& context) {
  const Inputs& inputs = context.inputs();
  const nn::CausalLMInfo& model = context.device().info();
  std::vector<Row> rows;
  if (inputs.checkpoint != nullptr) {
    rows = check_tensors(*inputs.checkpoint, inputs.expected_tensors);
    rows.push_back(check_special_ids(*inputs.checkpoint, model.vocab_size));
  }
  if (const auto info = context.reference().info()) rows.push_back(check_dimensions(model, *info));
  rows.push_back(check_ids(context.material(), model.vocab_size));
  if (rows.back().passed) rows.push_back(reference_loss(context));
  return rows;
}

std::int64_t baseline_work(const StageContext& context) {
  return text_positions(context);
}

} // namespace tessera::bringup
