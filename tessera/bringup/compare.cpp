#include "tessera/bringup/compare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>

#include "tessera/base/error.hpp"
#include "tessera/bringup/details.hpp"
#include "tessera/bringup/report_page/run_folder.hpp"

namespace tessera::bringup {
namespace {

using nlohmann::json;
using report_page::RunFile;
using report_page::RunFolder;

constexpr const char* kAbsent = "absent";

/// HIGHER, LOWER: which way is better. INFORMATION: neither, such as the lowest token id.
enum class Better { HIGHER, LOWER, INFORMATION };

/// Where a figure stands.
struct Place {
  const std::string& stage;
  const std::string& module;
};

/// Whether the host's own speed is in the figure. What is predicted and what is published is the same in equal runs.
bool is_time(const Place& place, const std::string& figure) {
  return figure.starts_with("host_us") || (place.stage == "performance" && place.module == kMeasuredHere);
}

/// Figures that a row has only where the texts part: without them it is better.
bool is_of_parting(const std::string& figure) {
  return figure == "top2_gap" || figure == "logit_gap";
}

bool is_speed(const std::string& figure) {
  return figure.starts_with("tokens_per_s") || figure.starts_with("predicted_tokens_per_s");
}

/// How much was judged is a figure too: a verdict over fewer positions says less.
Better better_of(const std::string& figure) {
  if (is_speed(figure)) return Better::HIGHER;
  for (const char* higher : {"pcc", "top1", "top5", "equal_", "finite_", "positions", "tokens", "count"}) {
    if (figure.starts_with(higher)) return Better::HIGHER;
  }
  for (const char* lower : {"max_abs_error", "relative_frobenius_error", "kl_divergence", "loss", "perplexity",
                            "logit_gap", "ttft_ms", "host_us", "prediction_error"}) {
    if (figure.starts_with(lower)) return Better::LOWER;
  }
  return Better::INFORMATION;
}

/// By how much a figure may be worse.
double allowed(const Place& place, const Figure& figure, const CompareOptions& options) {
  const double size = std::isfinite(figure.value) ? std::abs(figure.value) : 0.0;
  if (is_time(place, figure.name)) return options.time * size;
  if (figure.name.starts_with("pcc")) return options.pcc;
  if (is_speed(figure.name) || better_of(figure.name) == Better::LOWER) return options.relative * size;
  return options.share;
}

bool same(double a, double b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}

bool is_worse(const Place& place, const Figure& before, const Figure& after, const CompareOptions& options) {
  if (before.holds() && !after.holds()) return true;
  const Better better = better_of(before.name);
  if (better == Better::INFORMATION || same(before.value, after.value)) return false;
  if (is_time(place, before.name) && options.time <= 0.0) return false;
  if (std::isnan(after.value)) return true;
  const double loss = better == Better::HIGHER ? before.value - after.value : after.value - before.value;
  return loss > allowed(place, before, options);
}

/// Whether a difference is more than equal runs may show.
bool is_change(const Place& place, const Figure& before, const Figure& after, const CompareOptions& options) {
  if (same(before.value, after.value)) return false;
  if (is_time(place, before.name)) return true;
  const bool within = std::abs(before.value - after.value) <= allowed(place, before, options);
  return !within || before.holds() != after.holds();
}

std::string shown(const Figure& figure) {
  return fmt::format("{:.9g}", figure.value);
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
             .after = kAbsent,
             .worse = stage.verdict == Verdict::PASSED});
      } else {
        compare_stage(stage, *other);
      }
    }
    for (const StageResult& stage : second_.report.stages) {
      if (find_stage(first_.report, stage.name) == nullptr)
        add({.kind = Change::Kind::VERDICT,
             .stage = stage.name,
             .before = kAbsent,
             .after = to_string(stage.verdict),
             .worse = stage.verdict == Verdict::FAILED});
    }
    compare_files();
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
      return found == report.facts.end() ? kAbsent : found->second;
    };
    for (const auto& [name, value] : first_.report.facts) {
      const std::string other = value_of(second_.report, name);
      if (other != value)
        result_.facts.push_back({.kind = Change::Kind::FACT, .figure = name, .before = value, .after = other});
    }
    for (const auto& [name, value] : second_.report.facts) {
      if (value_of(first_.report, name) == kAbsent)
        result_.facts.push_back({.kind = Change::Kind::FACT, .figure = name, .before = kAbsent, .after = value});
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
    // A stage that was skipped, or ended by an error, has no rows; its verdict is the regression.
    const bool verdict_says_it = before.verdict != after.verdict;
    const bool all_gone = after.rows.empty();
    for (const Row& row : before.rows) {
      const auto other = std::ranges::find(after.rows, row.module, &Row::module);
      if (other == after.rows.end()) {
        add({.kind = Change::Kind::ROW,
             .stage = before.name,
             .module = row.module,
             .before = row.passed ? "passed" : "failed",
             .after = kAbsent,
             .worse = row.passed && !(all_gone && verdict_says_it)});
      } else {
        compare_row(before.name, row, *other);
      }
    }
    for (const Row& row : after.rows) {
      if (std::ranges::find(before.rows, row.module, &Row::module) == before.rows.end())
        add({.kind = Change::Kind::ROW,
             .stage = before.name,
             .module = row.module,
             .before = kAbsent,
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
    const Place place{stage, before.module};
    const auto change = [&](const std::string& figure, std::string was, std::string is, bool worse) {
      add({.kind = is_time(place, figure) ? Change::Kind::TIME : Change::Kind::FIGURE,
           .stage = stage,
           .module = before.module,
           .figure = figure,
           .before = std::move(was),
           .after = std::move(is),
           .worse = worse});
    };
    for (const Figure& figure : before.figures) {
      const auto other = std::ranges::find(after.figures, figure.name, &Figure::name);
      if (other == after.figures.end()) {
        change(figure.name, shown(figure), kAbsent, !is_of_parting(figure.name));
      } else if (is_change(place, figure, *other, options_)) {
        change(figure.name, shown(figure), shown(*other), is_worse(place, figure, *other, options_));
      }
    }
    for (const Figure& figure : after.figures) {
      if (std::ranges::find(before.figures, figure.name, &Figure::name) == before.figures.end())
        change(figure.name, kAbsent, shown(figure), !figure.holds());
    }
  }

  /// Files that one run's page is made from and the other's is not. Those of a stage that the second run has not are
  /// not missed: its verdict says so.
  void compare_files() {
    const std::tuple<const char*, const char*, RunFile RunFolder::*> files[] = {
        {"generations.json", "generation", &RunFolder::generations},
        {"tokens.json", "teacher-forcing", &RunFolder::tokens},
        {"ops.json", "", &RunFolder::ops},
        {"memory.json", "", &RunFolder::memory},
        {"timeline.json", "", &RunFolder::timeline},
        {"sharding.json", "", &RunFolder::sharding}};
    for (const auto& [name, stage, member] : files) {
      const RunFile& before = first_.*member;
      const RunFile& after = second_.*member;
      if (before.usable() == after.usable()) continue;
      const bool expected = *stage == '\0' || find_stage(second_.report, stage) != nullptr;
      add({.kind = Change::Kind::FILE,
           .stage = stage,
           .module = name,
           .before = before.usable() ? "usable" : before.problem,
           .after = after.usable() ? "usable" : after.problem,
           .worse = before.usable() && expected});
    }
  }

  /// What a usable file says; nothing, and a change, when it is no such file after all.
  std::optional<std::vector<GenerationDetail>> texts_of(const RunFile& file, bool worse) {
    try {
      return generations_from_json(file.content);
    } catch (const base::InvalidArgument& error) {
      add({.kind = Change::Kind::FILE,
           .stage = "generation",
           .module = "generations.json",
           .before = worse ? "usable" : error.what(),
           .after = worse ? error.what() : "usable",
           .worse = worse});
      return std::nullopt;
    }
  }

  /// The device's texts; those of a reference that is another one are no news of the device.
  void compare_texts() {
    if (!first_.generations.usable() || !second_.generations.usable()) return;
    const auto before = texts_of(first_.generations, false);
    if (!before) return;
    const auto after = texts_of(second_.generations, true);
    if (!after) return;
    const auto change = [&](std::size_t number, std::string was, std::string is, bool worse) {
      add({.kind = Change::Kind::TEXT,
           .stage = "generation",
           .module = fmt::format("prompt {}", number),
           .before = std::move(was),
           .after = std::move(is),
           .worse = worse});
    };
    for (const GenerationDetail& one : *before) {
      const auto other = std::ranges::find(*after, one.number, &GenerationDetail::number);
      if (other == after->end()) {
        change(one.number, fmt::format("{} tokens", one.device.size()), kAbsent, true);
      } else if (other->prompt != one.prompt) {
        change(one.number, "its prompt", "another prompt", result_.same_key); // which has the prompts in it
      } else if (other->device != one.device) {
        const auto [a, b] =
            std::mismatch(one.device.begin(), one.device.end(), other->device.begin(), other->device.end());
        change(one.number, token_at(one, a - one.device.begin()), token_at(*other, b - other->device.begin()), false);
      }
    }
    for (const GenerationDetail& one : *after) {
      if (std::ranges::find(*before, one.number, &GenerationDetail::number) == before->end())
        change(one.number, kAbsent, fmt::format("{} tokens", one.device.size()), false);
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
    case Change::Kind::FILE:
      return "file";
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
  for (const auto& [name, tolerance] : {std::pair{"PCC", options.pcc}, std::pair{"errors", options.relative},
                                        std::pair{"shares", options.share}, std::pair{"times", options.time}}) {
    base::require(std::isfinite(tolerance) && tolerance >= 0.0,
                  "[compare] the tolerance of {} must be finite and at least 0; received {}", name, tolerance);
  }
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
