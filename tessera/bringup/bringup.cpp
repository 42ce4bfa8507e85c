#include "tessera/bringup/bringup.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>

#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/bringup/estimate.hpp"
#include "tessera/bringup/identity.hpp"
#include "tessera/bringup/report_files.hpp"
#include "tessera/bringup/stage.hpp"
#include "tessera/checkpoint/json_text.hpp"

namespace tessera::bringup {
namespace {

constexpr const char* kJsonName = "bringup.json";

/// Ends a run that the user wants to stop.
struct Cancelled {};

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void check_stage_names(const std::vector<std::string>& names) {
  const std::vector<std::string> known = stage_names();
  for (const std::string& name : names) {
    base::require(contains(known, name), "[bringup] a stage must be one of {}; received {}", fmt::join(known, ", "),
                  name);
  }
}

void check_material(const Material& material, const nn::CausalLMInfo& model) {
  base::require(!material.texts.empty(), "[bringup] a text is needed; received none; give --text or --prompt");
  for (const auto* sequences : {&material.texts, &material.prompts}) {
    for (const Ids& ids : *sequences) {
      base::require(!ids.empty(), "[bringup] texts and prompts must hold at least one id; received an empty one");
    }
  }
  base::require(material.longest() <= model.context,
                "[bringup] texts and prompts must fit the context of {} positions; received {} ids; raise --context",
                model.context, material.longest());
}

/// Hash of all that decides the results.
std::string key_of(const Inputs& inputs, const Options& options, const Thresholds& limits) {
  std::string text =
      fmt::format("{};{};{};{};{};{};{};{};{};{}", inputs.identity, inputs.reference.description(), options.precision,
                  options.numerics, options.board, options.all_layers, options.decode_positions,
                  options.generation_tokens, inputs.device.info().layers, inputs.device.info().max_users);
  for (const double limit :
       {limits.norm_pcc, limits.module_pcc, limits.mlp_pcc, limits.layer_pcc, limits.hidden_pcc, limits.logits_pcc,
        limits.logits_max_abs_error, limits.top1, limits.top5, limits.perplexity_factor}) {
    text += fmt::format(";{}", limit);
  }
  for (const Ids& ids : inputs.material.texts) text += ";text " + ids_text(ids);
  for (const Ids& ids : inputs.material.prompts) text += ";prompt " + ids_text(ids);
  return hash_of(text);
}

Report new_report(const Inputs& inputs, const Options& options, std::string key) {
  const nn::CausalLMInfo& model = inputs.device.info();
  Report report{.key = std::move(key), .files = inputs.files};
  if (!inputs.name.empty()) report.facts.emplace_back("checkpoint", inputs.name);
  const std::pair<std::string, std::string> facts[] = {
      {"model", fmt::format("{}, {} layers, hidden size {}, vocabulary {}", model.family, model.layers,
                            model.hidden_size, model.vocab_size)},
      {"device", fmt::format("{}, precision {}, {} numerics", options.board, options.precision, options.numerics)},
      {"reference", inputs.reference.description()},
      {"text", fmt::format("{} sequences, {} prompts", inputs.material.texts.size(), inputs.material.prompts.size())}};
  report.facts.insert(report.facts.end(), std::begin(facts), std::end(facts));
  if (!inputs.decode_text) report.facts.emplace_back("tokenizer", "none: the report shows token ids");
  return report;
}

/// Stages of an earlier run that need not run again; none when there is no report of this run's key and files.
std::map<std::string, StageResult> finished_stages(const Options& options, const Report& report) {
  std::map<std::string, StageResult> finished;
  const auto path = options.report_folder / kJsonName;
  if (!options.resume || options.report_folder.empty() || !std::filesystem::exists(path)) return finished;
  try {
    Report earlier = report_from_json(checkpoint::parse_json(base::read_file(path), path.string()));
    if (earlier.key != report.key || earlier.files != report.files) return finished;
    for (StageResult& stage : earlier.stages) {
      if (stage.verdict != Verdict::PASSED && stage.verdict != Verdict::SKIPPED) continue;
      stage.resumed = true;
      finished.emplace(stage.name, std::move(stage));
    }
  } catch (const base::Error&) {
    // A damaged report is no report: everything runs.
  }
  return finished;
}

void run_stage(const Stage& stage, const StageContext& context, StageResult& result) {
  const auto start = std::chrono::steady_clock::now();
  try {
    result.rows = stage.run(context);
    const bool passed = !result.rows.empty() &&
                        std::all_of(result.rows.begin(), result.rows.end(), [](const Row& row) { return row.passed; });
    result.verdict = passed ? Verdict::PASSED : Verdict::FAILED;
    if (result.rows.empty()) result.message = "the stage found nothing to judge";
  } catch (const Skipped& skipped) {
    result.verdict = Verdict::SKIPPED;
    result.message = skipped.reason;
  } catch (const std::exception& error) {
    result.verdict = Verdict::FAILED;
    result.message = error.what();
  }
  result.time_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

} // namespace

std::vector<std::string> stage_names() {
  std::vector<std::string> names;
  for (const Stage& stage : all_stages()) names.emplace_back(stage.name);
  return names;
}

Report run(const Inputs& inputs, const Options& options, Progress& progress) {
  check_stage_names(options.stages);
  check_material(inputs.material, inputs.device.info());
  const Thresholds limits = options.thresholds.value_or(thresholds_for(options.precision));
  Report report = new_report(inputs, options, key_of(inputs, options, limits));
  auto finished = finished_stages(options, report);

  std::vector<const Stage*> stages;
  for (const Stage& stage : all_stages()) {
    const auto earlier = finished.find(stage.name);
    if (earlier != finished.end()) {
      report.stages.push_back(std::move(earlier->second));
    } else if (options.stages.empty() || contains(options.stages, stage.name)) {
      report.stages.push_back({.name = stage.name});
    } else {
      continue;
    }
    stages.push_back(&stage);
  }

  RunDetails details;
  std::optional<Estimate> estimate; // needs the context below
  ProgressState state{.stage_count = stages.size()};
  const StageContext context(inputs, options, limits, details, [&](std::int64_t positions, const std::string& doing) {
    if (progress.cancelled()) throw Cancelled{};
    estimate->advance(positions);
    state.stage_fraction = estimate->stage_fraction();
    state.seconds_left = estimate->seconds_left();
    state.doing = doing;
    progress.advanced(state);
  });
  std::vector<std::int64_t> work;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    work.push_back(report.stages[i].resumed ? 0 : stages[i]->work(context));
  }
  estimate.emplace(std::move(work));

  for (std::size_t i = 0; i < stages.size(); ++i) {
    StageResult& result = report.stages[i];
    state.stage = result.name;
    state.stage_number = i + 1;
    try {
      if (!result.resumed) {
        progress.stage_started(result.name);
        run_stage(*stages[i], context, result);
      }
    } catch (const Cancelled&) {
      break;
    }
    estimate->finish_stage();
    progress.stage_finished(result);
    write_report(report, options.report_folder);
    write_details(std::exchange(details, {}), report.key, options.report_folder);
  }
  write_report(report, options.report_folder);
  return report;
}

} // namespace tessera::bringup
