#include <algorithm>
#include <cmath>

#include "tessera/bringup/stages/stage_support.hpp"
#include "tessera/bringup/stages/stages.hpp"

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

Row judge_loss(const StageContext& context) {
  Row row{.module = "reference on the text"};
  const TextLoss loss = reference_loss(context, true);
  if (loss.positions == 0) {
    row.notes.push_back("no loss: the texts are too short, or their logits are not known");
    return row;
  }
  row.figures = {{"loss", loss.mean, {}},
                 {"perplexity", std::exp(loss.mean), {}},
                 {"positions", static_cast<double>(loss.positions), {}}};
  row.passed = std::isfinite(loss.mean);
  const std::int64_t vocab_size = context.device().info().vocab_size;
  if (!row.passed) {
    row.advice = "the reference's logits are not finite: check the weights for NaN and infinity";
  } else if (!loss.better_than_guessing(vocab_size)) {
    row.notes.push_back(
        fmt::format("no better than guessing, which has loss {:.2f}: are text, tokenizer and weights of "
                    "one kind? (random weights do this)",
                    std::log(static_cast<double>(vocab_size))));
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
  if (rows.back().passed) rows.push_back(judge_loss(context));
  return rows;
}

std::int64_t baseline_work(const StageContext& context) {
  return text_positions(context);
}

} // namespace tessera::bringup
