#include <algorithm>
#include <cmath>

#include "tessera/bringup/advice.hpp"
#include "tessera/bringup/identity.hpp"
#include "tessera/bringup/judge.hpp"
#include "tessera/bringup/stages/stage_support.hpp"
#include "tessera/bringup/stages/stages.hpp"
#include "tessera/generate/generator.hpp"
#include "tessera/metrics/logits.hpp"

namespace tessera::bringup {
namespace {

/// Text, or ids where there is no tokenizer, in one line.
std::string shown(const StageContext& context, const Ids& ids) {
  if (!context.inputs().decode_text) return ids_text(ids);
  std::string line;
  for (const char c : context.inputs().decode_text(ids)) {
    if (c == '\n')
      line += "\\n";
    else
      line += c;
  }
  return "\"" + line + "\"";
}

/// Perplexity of `ids` under the logits from which they were taken: the last rows of `output`.
double perplexity(const ReferenceOutput& output, const Ids& ids) {
  const std::vector<std::int64_t> targets(ids.begin(), ids.end());
  const auto known = static_cast<std::size_t>(output.logits.shape[-1]) * ids.size();
  return metrics::perplexity(std::span(output.logits.data).last(known), targets);
}

double standard_deviation(std::span<const float> values) {
  double sum = 0.0;
  double squares = 0.0;
  for (const float value : values) {
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  const auto count = static_cast<double>(values.size());
  return std::sqrt(std::max(0.0, squares / count - sum / count * (sum / count)));
}

/// Where the texts part: how close the reference's choice was there.
///
/// With logits of PCC p the error of one logit is about sqrt(2 (1 - p)) standard deviations, that of the difference of
/// two sqrt(2) times as much; three times that, 6 sqrt(1 - p), is what rounding alone may overturn.
void judge_divergence(Row& row, std::span<const float> logits, std::int32_t reference_id, std::int32_t device_id,
                      double logits_pcc) {
  std::vector<float> sorted(logits.begin(), logits.end());
  std::partial_sort(sorted.begin(), sorted.begin() + 2, sorted.end(), std::greater<>());
  const double gap = static_cast<double>(logits[static_cast<std::size_t>(reference_id)]) -
                     static_cast<double>(logits[static_cast<std::size_t>(device_id)]);
  const double allowed = 6.0 * std::sqrt(1.0 - logits_pcc) * standard_deviation(logits);
  row.figures.push_back({"top2_gap", static_cast<double>(sorted[0]) - static_cast<double>(sorted[1]), {}});
  row.figures.push_back({"logit_gap", gap, Bound{Bound::Kind::AT_MOST, allowed}});
}

/// The reference's perplexity on both continuations; the device's is not known when the reference is a file.
void judge_perplexity(const StageContext& context, Row& row, const ForcedPrompt& prompt, const Ids& ids) {
  const double own = perplexity(*prompt.expected, prompt.continuation);
  row.figures.push_back({"perplexity_reference", own, {}});
  Ids fed = prompt.prompt;
  fed.insert(fed.end(), ids.begin(), ids.end() - 1);
  const ReferenceOutput* output = context.reference().sequence(fed);
  if (output == nullptr) {
    row.notes.push_back("the reference file cannot tell the perplexity of the device's text");
    return;
  }
  const double other = perplexity(*output, ids);
  row.figures.push_back(
      {"perplexity_device", other, Bound{Bound::Kind::AT_MOST, own * context.limits().perplexity_factor}});
}

Row judge_generation(const StageContext& context, const ForcedPrompt& prompt, const Ids& ids) {
  Row row{.module = fmt::format("prompt {}", prompt.number)};
  const auto parted = std::mismatch(prompt.continuation.begin(), prompt.continuation.end(), ids.begin(), ids.end());
  const std::int64_t equal = parted.second - ids.begin();
  row.figures = {{"tokens", static_cast<double>(prompt.continuation.size()), {}},
                 {"equal_tokens", static_cast<double>(equal), {}}};
  if (parted.first != prompt.continuation.end() && parted.second != ids.end()) {
    const tensor::HostTensor& logits = prompt.expected->logits;
    const std::int64_t first = logits.shape[0] - static_cast<std::int64_t>(prompt.continuation.size());
    judge_divergence(row, logits.row(first + equal), *parted.first, *parted.second, context.limits().logits_pcc);
  }
  judge_perplexity(context, row, prompt, ids);
  row.notes.push_back("reference: " + shown(context, prompt.continuation));
  row.notes.push_back("device:    " + shown(context, ids));
  settle(row);
  if (!row.passed) {
    row.advice =
        "the texts part where the reference was sure, or the device's text is unlikely: run --stages "
        "teacher-forcing, and compare prefill of the prompt alone with full-model";
  }
  return row;
}

GenerationDetail detail_of(const StageContext& context, const ForcedPrompt& prompt, const Ids& ids) {
  const auto& decode = context.inputs().decode_text;
  GenerationDetail detail{
      .number = prompt.number, .prompt = prompt.prompt, .reference = prompt.continuation, .device = ids};
  if (decode) detail.prompt_text = decode(prompt.prompt);
  // A continuation reads as it does behind its prompt.
  const auto texts_of = [&](const Ids& continuation) {
    Ids all = prompt.prompt;
    all.insert(all.end(), continuation.begin(), continuation.end());
    std::vector<std::string> texts = token_texts(decode, all);
    if (!texts.empty()) texts.erase(texts.begin(), texts.begin() + static_cast<std::ptrdiff_t>(prompt.prompt.size()));
    return texts;
  };
  detail.reference_texts = texts_of(prompt.continuation);
  detail.device_texts = texts_of(ids);
  return detail;
}

} // namespace

std::vector<Row> generation(const StageContext& context) {
  const std::vector<ForcedPrompt> prompts = forced_prompts(context);
  generate::Generator generator(
      context.device(), {.on_token = [&](std::size_t, std::int32_t) { context.advance(1, "the device's own text"); }});
  for (const ForcedPrompt& one : prompts) {
    generator.submit({.prompt_ids = one.prompt, .max_tokens = static_cast<std::int64_t>(one.continuation.size())});
  }
  generator.run();
  std::vector<Row> rows;
  auto& details = context.details().generations.emplace();
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const Ids& ids = generator.generations()[i].ids;
    details.push_back(detail_of(context, prompts[i], ids));
    rows.push_back(judge_generation(context, prompts[i], ids));
  }
  return rows;
}

std::int64_t generation_work(const StageContext& context) {
  return prompt_positions(context);
}

} // namespace tessera::bringup
