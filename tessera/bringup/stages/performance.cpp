#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tessera/bringup/judge.hpp"
#include "tessera/bringup/predicted_speed.hpp"
#include "tessera/bringup/published.hpp"
#include "tessera/bringup/stages/stages.hpp"
#include "tessera/generate/generator.hpp"

namespace tessera::bringup {
namespace {

/// Published figures and the prediction for the same case may differ by so much before the stage fails: more than any
/// row that the model was fitted on (docs/performance-model.md).
constexpr double kMostPredictionError = 0.3;

/// What is run: the first tokens of the first text, as far as the context leaves room.
struct Case {
  Ids prompt;
  std::int64_t tokens = 1;
};

Case case_of(const StageContext& context) {
  const Ids& text = context.material().texts.front();
  const std::int64_t room = context.device().info().context;
  Case one;
  one.tokens = std::clamp<std::int64_t>(context.options().generation_tokens, 2, std::max<std::int64_t>(2, room / 2));
  const std::int64_t length = std::clamp<std::int64_t>(room - one.tokens, 1, static_cast<std::int64_t>(text.size()));
  one.prompt.assign(text.begin(), text.begin() + length);
  return one;
}

Row measured(const StageContext& context, const Case& one) {
  generate::Generator generator(context.device(), {.max_users = 1, .on_token = [&](std::size_t, std::int32_t) {
                                                     context.advance(1, "measuring");
                                                   }});
  generator.submit({.prompt_ids = one.prompt, .max_tokens = one.tokens});
  generator.run();
  const generate::Generation& generation = generator.generations().front();
  return {.module = kMeasuredHere,
          .figures = {{"tokens_per_s_user", generation.tokens_per_s(), {}},
                      {"ttft_ms", generation.time_to_first_token_s * 1e3, {}}},
          .notes = {fmt::format("one user, prompt {}, {} tokens; of this host, which is not the card",
                                one.prompt.size(), one.tokens)}};
}

/// "decode: 48 % of the roofline; most time in linear, 71 %, bound by DRAM". REQUIRES: the step has ops.
std::string bounds_of(const char* phase, const perfmodel::StepTime& step) {
  const auto most = std::ranges::max_element(step.kinds(), {}, [](const auto& entry) { return entry.second.time_ns; });
  return fmt::format("{}: {:.0f} % of the roofline; most time in {}, {:.0f} %, bound by {}", phase,
                     step.roofline() * 100, most->first, most->second.time_ns / step.time_ns() * 100,
                     to_string(most->second.bound()));
}

Row predicted(const PredictedSpeed& speed, const std::string& board) {
  return {.module = "predicted for the card",
          .figures = {{"tokens_per_s_user", speed.tokens_per_s_user(), {}},
                      {"ttft_ms", speed.ttft_ms(), {}},
                      {"tokens_per_s", speed.tokens_per_s(), {}}},
          .notes = {fmt::format("{}, of {}; half of such predictions within {:.0f} % (tokens/s) and {:.0f} % (first "
                                "token); prompt {}, position {}",
                                board, speed.release, speed.decode.error * 100, speed.prefill.error * 100,
                                speed.prompt_length, speed.position),
                    bounds_of("decode", speed.decode.step), bounds_of("prefill", speed.prefill.step)}};
}

/// A published figure with the prediction for the same case beside it.
Row published(const StageContext& context, const Published& row) {
  Row result{.module = fmt::format("published, {} {} dp {} batch {} prompt {}", row.board, row.precision, row.copies,
                                   row.users, row.prompt_length),
             .figures = {{"tokens_per_s_user", row.tokens_per_s_user, {}}, {"ttft_ms", row.ttft_ms, {}}}};
  if (row.top1) result.figures.push_back({"top1", *row.top1, {}});
  if (row.top5) result.figures.push_back({"top5", *row.top5, {}});
  if (const auto speed = context.inputs().predict_published(row)) {
    result.figures.push_back({"predicted_tokens_per_s_user", speed->tokens_per_s_user(), {}});
    result.figures.push_back({"prediction_error", std::abs(speed->tokens_per_s_user() / row.tokens_per_s_user - 1),
                              Bound{Bound::Kind::AT_MOST, kMostPredictionError}});
  }
  settle(result);
  if (!result.passed) result.advice = "docs/performance-model.md says where the prediction is weak";
  return result;
}

} // namespace

std::vector<Row> performance(const StageContext& context) {
  const Case one = case_of(context);
  std::vector<Row> rows{measured(context, one)};
  const Inputs& inputs = context.inputs();
  if (inputs.predict_speed) {
    if (const auto speed = inputs.predict_speed(static_cast<std::int64_t>(one.prompt.size())))
      rows.push_back(predicted(*speed, context.options().board));
  }
  if (!inputs.predict_published) return rows;
  for (const Published& row : published_rows()) {
    if (row.config == inputs.known_as && row.board == inputs.known_board) rows.push_back(published(context, row));
  }
  if (rows.back().module.starts_with("published"))
    rows.back().notes.push_back(fmt::format("published figures: {}", published_source()));
  return rows;
}

std::int64_t performance_work(const StageContext& context) {
  const Case one = case_of(context);
  return static_cast<std::int64_t>(one.prompt.size()) + one.tokens;
}

} // namespace tessera::bringup
