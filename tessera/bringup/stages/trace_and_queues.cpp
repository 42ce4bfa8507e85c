#include <algorithm>
#include <chrono>
#include <cstring>

#include "tessera/bringup/judge.hpp"
#include "tessera/bringup/stages/stage_support.hpp"
#include "tessera/bringup/stages/stages.hpp"
#include "tessera/metrics/logits.hpp"

namespace tessera::bringup {
namespace {

// The first time a prompt of some length comes it runs op by op, then once more as the trace will, then as a replay.
constexpr int kPrefills = 3;

/// What the prompts' prefills and the steps after them gave.
struct Outcome {
  std::vector<Ids> tokens;                // of each step, by user
  std::vector<tensor::HostTensor> logits; // of each prefill and of each step
  double us_per_step = 0.0;               // on this host, where nothing but the tokens is read
};

/// All prompts at once, some greedy steps each.
class Runner {
 public:
  Runner(const StageContext& context, std::vector<ForcedPrompt> prompts)
      : context_(context), prompts_(std::move(prompts)) {
    const nn::CausalLMInfo& model = context.device().info();
    prompts_.resize(std::min(prompts_.size(), static_cast<std::size_t>(model.max_users)));
    std::size_t longest = 0;
    for (const ForcedPrompt& one : prompts_) longest = std::max(longest, one.prompt.size());
    steps_ = std::min(context.options().generation_tokens, model.context - static_cast<std::int64_t>(longest));
  }

  std::int64_t steps() const { return steps_; }

  Outcome run(const nn::Execution& execution, const std::string& name) const {
    nn::CausalLM& device = context_.device();
    const nn::Execution before = device.set_execution(execution);
    Outcome outcome;
    std::vector<std::optional<nn::TokenUser>> users;
    for (std::size_t user = 0; user < prompts_.size(); ++user) {
      const Ids& prompt = prompts_[user].prompt;
      for (int time = 0; time < kPrefills; ++time) {
        context_.advance(static_cast<std::int64_t>(prompt.size()) / kPrefills, name + ", prefill");
        outcome.logits.push_back(
            device.prefill(static_cast<std::int64_t>(user), prompt, nn::LogitsRows::LAST, nullptr));
      }
      users.push_back(nn::TokenUser{.id = static_cast<std::int32_t>(metrics::argmax(outcome.logits.back().row(0))),
                                    .position = static_cast<std::int32_t>(prompt.size())});
    }
    {
      const auto loop = device.token_loop(static_cast<std::int64_t>(users.size()));
      loop->set_users(users);
      for (std::int64_t step = 0; step < steps_; ++step) {
        context_.advance(static_cast<std::int64_t>(users.size()), name + ", decode");
        loop->begin_step();
        outcome.logits.push_back(loop->logits());
        outcome.tokens.push_back(loop->end_step());
      }
      loop->set_users(users);
      outcome.us_per_step = time_steps(*loop);
    }
    device.set_execution(before);
    return outcome;
  }

  /// Users that take part; the rows behind them are idle.
  std::size_t users() const { return prompts_.size(); }

 private:
  double time_steps(nn::TokenLoop& loop) const {
    const auto start = std::chrono::steady_clock::now();
    loop.begin_step();
    for (std::int64_t step = 1; step < steps_; ++step) {
      loop.begin_step();
      loop.end_step();
    }
    loop.end_step();
    const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - start;
    return time.count() / static_cast<double>(steps_);
  }

  const StageContext& context_;
  std::vector<ForcedPrompt> prompts_;
  std::int64_t steps_ = 0;
};

/// Bits of the rows of the users that take part.
bool same_bits(const tensor::HostTensor& a, const tensor::HostTensor& b, std::size_t users) {
  const auto width = static_cast<std::size_t>(a.shape[-1]);
  const std::size_t count = std::min({a.data.size(), b.data.size(), users * width});
  return count > 0 && a.shape[-1] == b.shape[-1] &&
         std::memcmp(a.data.data(), b.data.data(), count * sizeof(float)) == 0;
}

Row judge(std::string name, const Outcome& eager, const Outcome& other, std::size_t users) {
  double tokens = 0;
  double equal_tokens = 0;
  for (std::size_t step = 0; step < eager.tokens.size(); ++step) {
    for (std::size_t user = 0; user < users; ++user) {
      ++tokens;
      equal_tokens += eager.tokens[step][user] == other.tokens[step][user];
    }
  }
  const auto logits = static_cast<double>(eager.logits.size());
  double equal_logits = 0;
  for (std::size_t i = 0; i < eager.logits.size(); ++i)
    equal_logits += same_bits(eager.logits[i], other.logits[i], users);
  Row row{.module = std::move(name)};
  row.figures = {{"equal_tokens", equal_tokens, Bound{Bound::Kind::AT_LEAST, tokens}},
                 {"logits_of_equal_bits", equal_logits, Bound{Bound::Kind::AT_LEAST, logits}},
                 {"host_us_per_step", other.us_per_step, {}},
                 {"host_us_per_eager_step", eager.us_per_step, {}}};
  settle(row);
  if (!row.passed) {
    row.advice =
        "a replay differs from the ops that it was captured from: look for an op that takes a value from the host "
        "which changes from step to step, and for a tensor that is written elsewhere; compare generate with and "
        "without --no-trace, and with --command-queues 1 and 2";
  }
  return row;
}

} // namespace

std::vector<Row> trace_and_queues(const StageContext& context) {
  const int queues = context.device().command_queues();
  if (queues == 0) throw Skipped{"the model runs on the host, where there is nothing to trace"};
  const Runner runner(context, forced_prompts(context));
  if (runner.steps() < 3) throw Skipped{"the context leaves no room for three steps after the prompts"};
  const Outcome eager = runner.run({.trace = false, .two_queues = false}, "op by op");
  std::vector<Row> rows;
  const auto compare = [&](const std::string& name, const nn::Execution& execution) {
    rows.push_back(judge(name, eager, runner.run(execution, name), runner.users()));
  };
  compare("traced", {.trace = true, .two_queues = false});
  if (queues > 1) {
    compare("two queues", {.trace = false, .two_queues = true});
    compare("traced, two queues", {.trace = true, .two_queues = true});
  }
  return rows;
}

std::int64_t trace_and_queues_work(const StageContext& context) {
  return context.device().command_queues() == 0 ? 0 : 4 * prompt_positions(context);
}

} // namespace tessera::bringup
