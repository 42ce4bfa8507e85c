#include "tessera/bringup/stages/stage_support.hpp"

#include <algorithm>

#include "tessera/bringup/advice.hpp"

namespace tessera::bringup {

std::int64_t text_positions(const StageContext& context) {
  std::int64_t sum = 0;
  for (const Ids& ids : context.material().texts) sum += static_cast<std::int64_t>(ids.size());
  return sum;
}

std::int64_t prompt_positions(const StageContext& context) {
  std::int64_t sum = 0;
  for (const Ids& ids : context.material().prompts) {
    sum += static_cast<std::int64_t>(ids.size()) + context.options().generation_tokens;
  }
  return sum;
}

std::vector<ForcedPrompt> forced_prompts(const StageContext& context) {
  std::vector<ForcedPrompt> forced;
  const std::vector<Ids>& prompts = context.material().prompts;
  for (std::size_t number = 0; number < prompts.size(); ++number) {
    ForcedPrompt one{.number = number, .prompt = prompts[number]};
    const std::int64_t room = context.device().info().context - static_cast<std::int64_t>(one.prompt.size()) + 1;
    context.advance(0, "reference's continuation");
    auto ids = context.reference().continuation(one.prompt, std::min(room, context.options().generation_tokens));
    if (!ids) continue;
    one.continuation = std::move(*ids);
    one.fed = one.prompt;
    one.fed.insert(one.fed.end(), one.continuation.begin(), one.continuation.end() - 1);
    one.expected = context.reference().sequence(one.fed);
    if (one.expected != nullptr) forced.push_back(std::move(one));
  }
  if (forced.empty()) {
    throw Skipped{prompts.empty() ? "no prompt was given; give --prompt"
                                  : fmt::format("{} has no continuation of the prompts (gen_ids, gen_logits)",
                                                context.reference().description())};
  }
  return forced;
}

std::vector<generate::SequenceOutput> run_device(const StageContext& context, const std::vector<Ids>& sequences,
                                                 generate::ForwardOptions options, const std::string& doing) {
  std::int64_t before = 0;
  options.progress = [&](std::int64_t done, std::int64_t) {
    context.advance(done - before, doing);
    before = done;
  };
  return generate::forward(context.device(), sequences, options);
}

void point_at_first_failure(std::vector<Row>& rows, std::string_view precision) {
  const Row* first = nullptr;
  for (Row& row : rows) {
    if (row.passed) continue;
    row.advice = first == nullptr ? "the first to fail; " + advice_for(row, precision)
                                  : fmt::format("mend {} first, which this follows", first->module);
    if (first == nullptr) first = &row;
  }
}

} // namespace tessera::bringup
