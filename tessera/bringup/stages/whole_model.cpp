// Stages that run the whole model on given tokens: full-decode, decode-as-prefill, full-model, teacher-forcing.

#include <algorithm>

#include "tessera/bringup/advice.hpp"
#include "tessera/bringup/stages/stage_support.hpp"
#include "tessera/bringup/stages/stages.hpp"
#include "tessera/bringup/teacher_forcing.hpp"
#include "tessera/metrics/logits.hpp"

namespace tessera::bringup {
namespace {

constexpr const char* kTiesNote =
    "top-1 and top-5 are not judged: the reference does no better than guessing on this text, its best tokens are near "
    "ties";

/// Texts with their expected results.
struct JudgedTexts {
  std::vector<Ids> ids;
  std::vector<const ReferenceOutput*> expected;
};

JudgedTexts judged_texts(const StageContext& context, bool with_hidden_states) {
  const std::size_t states = static_cast<std::size_t>(context.device().info().layers) + 1;
  JudgedTexts texts;
  for (const Ids& ids : context.material().texts) {
    context.advance(0, "reference on the text");
    const ReferenceOutput* expected = context.reference().sequence(ids);
    if (expected == nullptr || (with_hidden_states && expected->hidden_states.size() != states)) continue;
    texts.ids.push_back(ids);
    texts.expected.push_back(expected);
  }
  if (texts.ids.empty()) {
    throw Skipped{fmt::format("{} has no {} for the text with {} layers", context.reference().description(),
                              with_hidden_states ? "hidden_states.N" : "logits", states - 1)};
  }
  return texts;
}

/// Rows "embedding", "layers.0", ... from the compared outputs of each.
std::vector<Row> judge_states(const StageContext& context, const std::vector<Pair>& states, const std::string& prefix) {
  std::vector<Row> rows;
  for (std::size_t i = 0; i < states.size(); ++i) {
    const std::string module = i == 0 ? "embedding" : fmt::format("layers.{}", i - 1);
    const double limit = i == 0 ? context.limits().norm_pcc : context.limits().hidden_pcc;
    rows.push_back(judge_values(prefix + module, states[i].expected, states[i].actual, limit));
  }
  return rows;
}

Row logits_row(const StageContext& context, std::string module, const Pair& logits, bool judge_tokens) {
  Row row = judge_logits(std::move(module), logits, context.device().info().vocab_size, context.limits(), judge_tokens);
  row.advice = advice_for(row, context.options().precision);
  return row;
}

void add_states(std::vector<Pair>& pairs, const ReferenceOutput& expected, const generate::SequenceOutput& actual,
                std::int64_t positions) {
  pairs.resize(expected.hidden_states.size());
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    pairs[i].add(expected.hidden_states[i], 0, actual.hidden_states[i], 0, positions);
  }
}

/// What both models say comes after each token of a text.
TokenSequence token_details(const StageContext& context, std::string name, const Ids& ids,
                            const ReferenceOutput& expected, const generate::SequenceOutput& actual) {
  const auto& decode = context.inputs().decode_text;
  const auto vocab_size = static_cast<std::size_t>(context.device().info().vocab_size);
  const std::vector<std::string> texts = token_texts(decode, ids);
  const std::int64_t first = expected.first_position(ids.size());
  const auto text_of = [&](std::int32_t id) { return decode ? decode(std::span(&id, 1)) : std::string(); };
  TokenSequence sequence{.name = std::move(name), .tokens = {}};
  for (std::size_t i = 0; i < ids.size(); ++i) {
    TokenDetail token{.id = ids[i], .judged = static_cast<std::int64_t>(i) >= first};
    if (decode) token.text = texts[i];
    if (token.judged) {
      const auto ours = actual.logits.row(static_cast<std::int64_t>(i));
      const auto theirs = expected.logits.row(static_cast<std::int64_t>(i) - first);
      const metrics::LogitsAgreement agreement = metrics::compare_logits(theirs, ours, vocab_size);
      token.kl_divergence = agreement.kl_divergence;
      token.top1_hit = agreement.top1 == 1.0;
      token.expected = static_cast<std::int32_t>(metrics::argmax(theirs));
      token.actual = static_cast<std::int32_t>(metrics::argmax(ours));
      token.expected_text = text_of(token.expected);
      token.actual_text = text_of(token.actual);
    }
    sequence.tokens.push_back(std::move(token));
  }
  return sequence;
}

} // namespace

std::vector<Row> full_decode(const StageContext& context) {
  JudgedTexts texts = judged_texts(context, true);
  std::vector<std::int64_t> lengths;
  for (Ids& ids : texts.ids) {
    lengths.push_back(static_cast<std::int64_t>(ids.size()));
    // A causal model's first positions do not depend on what follows.
    ids.resize(std::min(ids.size(), static_cast<std::size_t>(context.options().decode_positions)));
  }
  const auto outputs =
      run_device(context, texts.ids, {.prefill_positions = 0, .hidden_states = true, .whole_lengths = lengths},
                 "decode, layer by layer");
  std::vector<Pair> states;
  Pair logits;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto positions = static_cast<std::int64_t>(texts.ids[i].size());
    add_states(states, *texts.expected[i], outputs[i], positions);
    add_logits(logits, *texts.expected[i], outputs[i], static_cast<std::size_t>(lengths[i]), 0, positions);
  }
  std::vector<Row> rows = judge_states(context, states, "");
  rows.push_back(logits_row(context, "logits", logits, false));
  point_at_first_failure(rows, context.options().precision);
  return rows;
}

std::vector<Row> decode_as_prefill(const StageContext& context) {
  const std::vector<ForcedPrompt> prompts = forced_prompts(context);
  std::vector<Ids> sequences;
  for (const ForcedPrompt& one : prompts) sequences.push_back(one.fed);
  const auto outputs = run_device(context, sequences, {.prefill_positions = 0}, "prompts by decode");
  std::vector<Row> rows;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    Pair logits;
    const auto length = static_cast<std::int64_t>(sequences[i].size());
    add_logits(logits, *prompts[i].expected, outputs[i], sequences[i].size(), 0, length);
    rows.push_back(logits_row(context, fmt::format("prompt {}", prompts[i].number), logits, false));
  }
  return rows;
}

std::vector<Row> full_model(const StageContext& context) {
  const JudgedTexts texts = judged_texts(context, false);
  std::size_t longest = 0;
  for (const Ids& ids : texts.ids) longest = std::max(longest, ids.size());
  // Half of each text by prefill, the rest by decode: the cache passes from one to the other in mid-text.
  const auto half = static_cast<std::int64_t>((longest + 1) / 2);
  const auto outputs =
      run_device(context, texts.ids, {.prefill_positions = half, .hidden_states = true}, "prefill, then decode");
  std::vector<Pair> states;
  Pair prefill_logits;
  Pair decode_logits;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto length = static_cast<std::int64_t>(texts.ids[i].size());
    const std::int64_t prefilled = std::min(half, length);
    const ReferenceOutput& expected = *texts.expected[i];
    if (expected.hidden_states.size() == outputs[i].hidden_states.size()) {
      add_states(states, expected, outputs[i], prefilled);
    }
    add_logits(prefill_logits, expected, outputs[i], texts.ids[i].size(), 0, prefilled);
    add_logits(decode_logits, expected, outputs[i], texts.ids[i].size(), prefilled, length);
  }
  std::vector<Row> rows = judge_states(context, states, "prefill ");
  if (!prefill_logits.expected.empty()) rows.push_back(logits_row(context, "prefill logits", prefill_logits, false));
  if (!decode_logits.expected.empty()) rows.push_back(logits_row(context, "decode logits", decode_logits, false));
  point_at_first_failure(rows, context.options().precision);
  return rows;
}

std::vector<Row> teacher_forcing(const StageContext& context) {
  std::vector<Row> rows;
  const JudgedTexts texts = judged_texts(context, false);
  const auto on_text = run_device(context, texts.ids, {.prefill_positions = 0}, "the text's tokens");
  Pair logits;
  auto& details = context.details().tokens.emplace();
  for (std::size_t i = 0; i < on_text.size(); ++i) {
    details.push_back(token_details(context, fmt::format("text {}", i), texts.ids[i], *texts.expected[i], on_text[i]));
    const auto length = static_cast<std::int64_t>(texts.ids[i].size());
    add_logits(logits, *texts.expected[i], on_text[i], texts.ids[i].size(), 0, length);
  }
  // Where the reference itself does no better than guessing, its best tokens are near ties.
  const bool judge_tokens = reference_loss(context, false).better_than_guessing(context.device().info().vocab_size);
  rows.push_back(logits_row(context, "text", logits, judge_tokens));
  if (!judge_tokens) rows.back().notes.push_back(kTiesNote);
  if (context.material().prompts.empty()) return rows;

  const std::vector<ForcedPrompt> prompts = forced_prompts(context);
  std::vector<Ids> sequences;
  std::size_t shortest = prompts.front().prompt.size();
  for (const ForcedPrompt& one : prompts) {
    sequences.push_back(one.fed);
    shortest = std::min(shortest, one.prompt.size());
  }
  const auto outputs = run_device(context, sequences, {.prefill_positions = static_cast<std::int64_t>(shortest)},
                                  "the reference's tokens");
  logits = {};
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const auto first = static_cast<std::int64_t>(prompts[i].prompt.size()) - 1;
    const auto length = static_cast<std::int64_t>(sequences[i].size());
    add_logits(logits, *prompts[i].expected, outputs[i], sequences[i].size(), first, length);
  }
  rows.push_back(logits_row(context, "reference tokens", logits, judge_tokens));
  return rows;
}

std::int64_t full_decode_work(const StageContext& context) {
  return std::min(text_positions(context),
                  context.options().decode_positions * static_cast<std::int64_t>(context.material().texts.size()));
}
std::int64_t decode_as_prefill_work(const StageContext& context) {
  return prompt_positions(context);
}
std::int64_t full_model_work(const StageContext& context) {
  return text_positions(context);
}
std::int64_t teacher_forcing_work(const StageContext& context) {
  return text_positions(context) + prompt_positions(context);
}

} // namespace tessera::bringup
