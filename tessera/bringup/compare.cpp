#include "tessera/bringup/compare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "tessera/bringup/details.hpp"
#include "tessera/bringup/report_page/run_folder.hpp"

namespace tessera::bringup {
namespace {

using nlohmann::json;
using report_page::RunFolder;

constexpr const char* kPerformance = "performance";

/// HIGHER, LOWER: which way is better. INFORMATION: neither, such as the number of positions.
enum class Better { HIGHER, LOWER, INFORMATION };

bool is_time(const std::string& stage, const std::string& figure) {
  return figure.starts_with("host_us") || (stage == kPerformance && !figure.starts_with("predict"));
}

Better better_of(const std::string& figure) {
  for (const char* higher : {"pcc", "top1", "top5", "equal_", "finite_", "tokens_per_s", "predicted_tokens_per_s"}) {
    if (figure.starts_with(higher)) return Better::HIGHER;
  }
  for (const char* lower : {"max_abs_error", "relative_frobenius_error", "kl_divergence", "loss", "perplexity",
                            "logit_gap", "ttft_ms", "host_us", "prediction_error"}) {
    if (figure.starts_with(lower)) return Better::LOWER;
  }
  return Better::INFORMATION;
}

/// By how much a figure may be worse.
double allowed(const std::string& stage, const Figure& figure, const CompareOptions& options) {
  if (is_time(stage, figure.name)) return options.time * std::abs(figure.value);
  if (figure.name.starts_with("pcc")) return options.pcc;
  if (better_of(figure.name) == Better::LOWER) return options.relative * std::abs(figure.value);
  return options.share;
}

bool same(double a, double b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}

bool is_worse(const std::string& stage, const Figure& before, const Figure& after, const CompareOptions& options) {
  if (before.holds() && !after.holds()) return true;
  const Better better = better_of(before.name);
  if (better == Better::INFORMATION || same(before.value, after.value)) return false;
  if (is_time(stage, before.name) && options.time <= 0.0) return false;
  if (std::isnan(after.value)) return true;
  const double loss = better == Better::HIGHER ? before.value - after.value : after.value - before.value;
  return loss > allowed(stage, before, options);
}

/// Whether a difference is more than equal runs may show.
bool is_change(const std::string& stage, const Figure& before, const Figure& after, const CompareOptions& options) {
  if (same(before.value, after.value)) return false;
  if (is_time(stage, before.name)) return true;
  const bool within = std::abs(before.value - after.value) <= allowed(stage, before, options);
  return !within || before.holds() != after.holds();
}

class Comparer {
 public:
  Comparer(const RunFolder& first, const RunFolder& second, const CompareOptions& options)
      : first_(first), second_(second), options_(options) {}

  Comparison compare() {
    result_.same_key = first_.report.key == second_.report.key;
    compare_facts();
    for (const StageResult& stage : first_.report.stages) {
      const StageResult* other = find_stage(second_.report, stage.name);
      if (other == nullptr) {
        add({.kind = Change::Kind::VERDICT,
             .stage = stage.name,
             .before = to_string(stage.verdict),
             .after = "absent",
             .worse = true});
      } else {
        compare_stage(stage, *other);
      }
    }
    for (const StageResult& stage : second_.report.stages) {
      if (find_stage(first_.report, stage.name) == nullptr)
        add({.kind = Change::Kind::VERDICT,
             .stage = stage.name,
             .before = "absent",
             .after = to_string(stage.verdict),
             .worse = stage.verdict == Verdict::FAILED});
    }
    compare_texts();
    return std::move(result_);
  }

 private:
  static const StageResult* find_stage(const Report& report, const std::string& name) {
    const auto found = std::ranges::find(report.stages, name, &StageResult::name);
    return found == report.stages.end() ? nullptr : &*found;
  }
  void add(Change change) { result_.changes.push_back(std::move(change)); }

  void compare_facts() {
    const auto value_of = [](const Report& report, const std::string& name) -> std::string {
      const auto found = std::ranges::find(report.facts, name, &std::pair<std::string, std::string>::first);
      return found == report.facts.end() ? "absent" : found->second;
    };
    for (const auto& [name, value] : first_.report.facts) {
      const std::string other = value_of(second_.report, name);
      if (other != value)
        result_.facts.push_back({.kind = Change::Kind::FACT, .figure = name, .before = value, .after = other});
    }
    for (const auto& [name, value] : second_.report.facts) {
      if (value_of(first_.report, name) == "absent")
        result_.facts.push_back({.kind = Change::Kind::FACT, .figure = name, .before = "absent", .after = value});
    }
  }

  void compare_stage(const StageResult& before, const StageResult& after) {
    if (before.verdict != after.verdict) {
      const bool worse =
          after.verdict == Verdict::FAILED || (before.verdict == Verdict::PASSED && after.verdict != Verdict::PASSED);
      add({.kind = Change::Kind::VERDICT,
           .stage = before.name,
           .before = to_string(before.verdict),
           .after = to_string(after.verdict),
           .worse = worse});
    }
    for (const Row& row : before.rows) {
      const auto other = std::ranges::find(after.rows, row.module, &Row::module);
      if (other == after.rows.end()) {
        add({.kind = Change::Kind::ROW,
             .stage = before.name,
             .module = row.module,
             .before = row.passed ? "passed" : "failed",
             .after = "absent",
             .worse = row.passed && !after.rows.empty()});
      } else {
        compare_row(before.name, row, *other);
      }
    }
    for (const Row& row : after.rows) {
      if (std::ranges::find(before.rows, row.module, &Row::module) == before.rows.end())
        add({.kind = Change::Kind::ROW,
             .stage = before.name,
             .module = row.module,
             .before = "absent",
             .after = row.passed ? "passed" : "failed",
             .worse = !row.passed});
    }
  }

  void compare_row(const std::string& stage, const Row& before, const Row& after) {
    if (before.passed != after.passed)
      add({.kind = Change::Kind::VERDICT,
           .stage = stage,
           .module = before.module,
           .before = before.passed ? "passed" : "failed",
           .after = after.passed ? "passed" : "failed",
           .worse = !after.passed});
    for (const Figure& figure : before.figures) {
      const auto other = std::ranges::find(after.figures, figure.name, &Figure::name);
      if (other == after.figures.end() || !is_change(stage, figure, *other, options_)) continue;
      add({.kind = is_time(stage, figure.name) ? Change::Kind::TIME : Change::Kind::FIGURE,
           .stage = stage,
           .module = before.module,
           .figure = figure.name,
           .before = fmt::format("{:.9g}", figure.value),
           .after = fmt::format("{:.9g}", other->value),
           .worse = is_worse(stage, figure, *other, options_)});
    }
  }

  /// The device's texts; those of a reference that is another one are no news of the device.
  void compare_texts() {
    if (!first_.generations.usable() || !second_.generations.usable()) return;
    const auto before = generations_from_json(first_.generations.content);
    const auto after = generations_from_json(second_.generations.content);
    for (const GenerationDetail& one : before) {
      const auto other = std::ranges::find_if(
          after, [&](const GenerationDetail& g) { return g.number == one.number && g.prompt == one.prompt; });
      if (other == after.end() || other->device == one.device) continue;
      const auto [a, b] =
          std::mismatch(one.device.begin(), one.device.end(), other->device.begin(), other->device.end());
      add({.kind = Change::Kind::TEXT,
           .stage = "generation",
           .module = fmt::format("prompt {}", one.number),
           .before = token_at(one, a - one.device.begin()),
           .after = token_at(*other, b - other->device.begin())});
    }
  }

  static std::string token_at(const GenerationDetail& one, std::ptrdiff_t at) {
    const auto i = static_cast<std::size_t>(at);
    if (i >= one.device.size()) return fmt::format("ends at token {}", i);
    const bool text = i < one.device_texts.size() && !one.device_texts[i].empty();
    return fmt::format("token {}: {}{}", i, one.device[i], text ? fmt::format(" \"{}\"", one.device_texts[i]) : "");
  }

  const RunFolder& first_;
  const RunFolder& second_;
  const CompareOptions& options_;
  Comparison result_;
};

std::string to_string(Change::Kind kind) {
  switch (kind) {
    case Change::Kind::FACT:
      return "fact";
    case Change::Kind::VERDICT:
      return "verdict";
    case Change::Kind::FIGURE:
      return "figure";
    case Change::Kind::TIME:
      return "time";
    case Change::Kind::TEXT:
      return "text";
    case Change::Kind::ROW:
      return "row";
  }
  return "";
}

std::string place_of(const Change& change) {
  std::string place = change.stage;
  if (!change.module.empty()) place += (place.empty() ? "" : ": ") + change.module;
  if (!change.figure.empty()) place += (place.empty() ? "" : " ") + change.figure;
  return place;
}

std::string block(const std::string& heading, const std::vector<Change>& changes,
                  const std::function<bool(const Change&)>& wanted) {
  std::string lines;
  for (const Change& change : changes) {
    if (wanted(change)) lines += fmt::format("  {:<56} {} -> {}\n", place_of(change), change.before, change.after);
  }
  return lines.empty() ? "" : heading + "\n" + lines + "\n";
}

json to_json(const Change& change) {
  return {{"kind", to_string(change.kind)}, {"stage", change.stage},   {"module", change.module},
          {"figure", change.figure},        {"before", change.before}, {"after", change.after},
          {"worse", change.worse}};
}

} // namespace

bool Comparison::regressed() const {
  return std::ranges::any_of(changes, [](const Change& change) { return change.worse; });
}

bool Comparison::nothing_changed() const {
  return same_key && facts.empty() && std::ranges::all_of(changes, [](const Change& change) {
           return change.kind == Change::Kind::TIME && !change.worse;
         });
}

Comparison compare_runs(const std::filesystem::path& first, const std::filesystem::path& second,
                        const CompareOptions& options) {
  const RunFolder before = report_page::read_run_folder(first);
  const RunFolder after = report_page::read_run_folder(second);
  return Comparer(before, after, options).compare();
}

std::string to_table(const Comparison& comparison) {
  std::string text;
  if (!comparison.same_key)
    text += "The runs are not of the same checkpoint, precision, board, texts and settings.\n" +
            std::string(comparison.facts.empty() ? "\n" : "");
  text += block("What was run", comparison.facts, [](const Change&) { return true; });
  const auto is_time = [](const Change& change) { return change.kind == Change::Kind::TIME; };
  text += block("Worse", comparison.changes, [](const Change& change) { return change.worse; });
  text += block("Changed", comparison.changes, [&](const Change& change) { return !change.worse && !is_time(change); });
  text += block("Times, which do not count", comparison.changes,
                [&](const Change& change) { return !change.worse && is_time(change); });
  const auto worse = std::ranges::count_if(comparison.changes, [](const Change& change) { return change.worse; });
  if (worse > 0) return text + fmt::format("WORSE: {} {}\n", worse, worse == 1 ? "regression" : "regressions");
  return text + (comparison.nothing_changed() ? "Nothing changed.\n" : "No regression.\n");
}

json to_json(const Comparison& comparison) {
  json facts = json::array();
  json changes = json::array();
  for (const Change& change : comparison.facts) facts.push_back(to_json(change));
  for (const Change& change : comparison.changes) changes.push_back(to_json(change));
  return {{"same_key", comparison.same_key},
          {"regressed", comparison.regressed()},
          {"nothing_changed", comparison.nothing_changed()},
          {"facts", std::move(facts)},
          {"changes", std::move(changes)}};
}

} // namespace tessera::bringup
