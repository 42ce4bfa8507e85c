#include "apps/cli/time_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace tessera::cli {
namespace {

constexpr std::size_t kRows = 8; // of the table

using Kind = std::pair<std::string, perfmodel::OpKindTime>;

std::vector<Kind> by_time(const perfmodel::StepTime& step) {
  std::vector<Kind> kinds(step.kinds().begin(), step.kinds().end());
  std::ranges::stable_sort(kinds, [](const Kind& a, const Kind& b) { return a.second.time_ns > b.second.time_ns; });
  return kinds;
}

nlohmann::json phase_json(const PhaseTime& phase) {
  return {{"predicted", true},
          {"error", phase.error},
          {"card_ms", phase.step.time_ns() / 1e6},
          {"roofline", phase.step.roofline()},
          {"ops", ops_json(phase.step)}};
}

} // namespace

nlohmann::json ops_json(const perfmodel::StepTime& step) {
  nlohmann::json ops = nlohmann::json::array();
  for (const auto& [name, kind] : by_time(step)) {
    ops.push_back({{"op", name},
                   {"count", kind.count},
                   {"time_ms", kind.time_ns / 1e6},
                   {"bound", to_string(kind.bound())},
                   {"roofline", kind.roofline()}});
  }
  return ops;
}

nlohmann::json prefill_json(const PredictedSpeed& plan) {
  nlohmann::json json = phase_json(plan.prefill);
  json["ttft_ms"] = plan.ttft_ms();
  json["prompt_length"] = plan.prompt_length;
  json["release"] = plan.release;
  return json;
}

nlohmann::json decode_json(const PredictedSpeed& plan) {
  nlohmann::json json = phase_json(plan.decode);
  json["tokens_per_s_user"] = plan.tokens_per_s_user();
  json["tokens_per_s"] = plan.tokens_per_s();
  json["time_ms"] = plan.decode.time_ns / 1e6;
  json["position"] = plan.position;
  json["users"] = plan.users * plan.copies;
  json["release"] = plan.release;
  return json;
}

std::string ops_text(const perfmodel::StepTime& step, std::size_t rows) {
  std::string text;
  const std::vector<Kind> kinds = by_time(step);
  for (std::size_t i = 0; i < std::min(rows, kinds.size()); ++i) {
    const auto& [name, kind] = kinds[i];
    text += fmt::format("  {:<44} {:>6} {:>10.3f} {:>12} {:>8.0f} %\n", name, kind.count, kind.time_ns / 1e6,
                        to_string(kind.bound()), kind.roofline() * 100);
  }
  return text;
}

std::string time_text(const PredictedSpeed& plan) {
  std::string text = fmt::format("Predicted for the card, of {}; nothing was run on one:\n", plan.release);
  text += fmt::format("  time to first token      {:>10.1f} ms, half of such predictions within {:.0f} %; prompt {}\n",
                      plan.ttft_ms(), plan.prefill.error * 100, plan.prompt_length);
  text += fmt::format("  tokens/s/user            {:>10.1f}, half within {:.0f} %; at position {}, traced\n",
                      plan.tokens_per_s_user(), plan.decode.error * 100, plan.position);
  text +=
      fmt::format("  tokens/s                 {:>10.1f}, {} users\n", plan.tokens_per_s(), plan.users * plan.copies);
  const auto table = [&](const char* phase, const PhaseTime& time) {
    text += fmt::format("\n  {:<44} {:>6} {:>10} {:>12} {:>10}\n", phase, "ops", "ms", "bound by", "roofline");
    text += ops_text(time.step, kRows);
    text += fmt::format("  {:<44} {:>6} {:>10.3f} {:>12} {:>8.0f} %\n", "all ops, on the card", time.step.ops(),
                        time.step.time_ns() / 1e6, "", time.step.roofline() * 100);
  };
  table("decode", plan.decode);
  table("prefill", plan.prefill);
  return text;
}

} // namespace tessera::cli
