#include "tessera/bringup/classifier.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

#include "tessera/base/error.hpp"
#include "tessera/bringup/advice.hpp"
#include "tessera/bringup/identity.hpp"
#include "tessera/bringup/judge.hpp"
#include "tessera/bringup/l1_watch.hpp"
#include "tessera/bringup/report_files.hpp"
#include "tessera/bringup/stage.hpp"
#include "tessera/metrics/logits.hpp"

namespace tessera::bringup {
namespace {

using nn::ClassifierModule;
using nn::Features;
using nn::HostTensor;

constexpr std::int64_t kModuleItems = 2;

/// Ends a run that the user wants to stop.
struct Cancelled {};

/// The first items of a batch.
HostTensor first_items(const HostTensor& items, std::int64_t count) {
  const std::int64_t kept = std::min(count, items.shape[0]);
  HostTensor result{items.shape.with(0, kept), items.data};
  result.data.resize(static_cast<std::size_t>(result.shape.volume()));
  return result;
}

class ClassifierRun {
 public:
  ClassifierRun(const ClassifierInputs& inputs, const ClassifierOptions& options, Progress& progress)
      : inputs_(inputs),
        options_(options),
        progress_(progress),
        limits_(classifier_thresholds_for(options.precision)),
        few_(first_items(inputs.items, kModuleItems)) {}

  /// Both models are what they are said to be, and the reference's values can be compared with.
  std::vector<Row> baseline() {
    const Features& expected = reference_features();
    Row row{.module = "reference"};
    std::int64_t finite = 0;
    for (const auto& [name, feature] : expected)
      finite += std::all_of(feature.data.begin(), feature.data.end(), [](float x) { return std::isfinite(x); });
    row.figures = {{"blocks", static_cast<double>(expected.size() - 1), {}},
                   {"finite_features", static_cast<double>(finite),
                    Bound{Bound::Kind::AT_LEAST, static_cast<double>(expected.size())}}};
    settle(row);
    if (!row.passed) row.advice = "the reference overflows on these items: are pixel values normalised?";
    Row modules{.module = "modules"};
    std::int64_t equal = 0;
    const auto& ours = inputs_.device.modules();
    const auto& theirs = inputs_.reference.modules();
    for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i)
      equal += ours[i].name == theirs[i].name && ours[i].input == theirs[i].input;
    modules.figures = {{"equal_names", static_cast<double>(equal),
                        Bound{Bound::Kind::AT_LEAST, static_cast<double>(std::max(ours.size(), theirs.size()))}}};
    settle(modules);
    if (!modules.passed) modules.advice = "device and reference read another topology from the checkpoint";
    return {row, modules};
  }

  /// Modules by themselves, each on what the reference gives it.
  std::vector<Row> modules(bool blocks) {
    std::vector<Row> rows;
    std::map<std::string, HostTensor> pieces; // the reference's, as inputs of the pieces behind them
    for (const ClassifierModule& module : inputs_.reference.modules()) {
      if (module.is_block && !blocks) continue;
      if (!module.is_block && blocks) continue;
      advance(static_cast<double>(rows.size()) / static_cast<double>(inputs_.reference.modules().size()), module.name);
      const auto piece = pieces.find(module.input);
      const HostTensor& input = piece != pieces.end() ? piece->second : reference_features().at(module.input);
      const HostTensor expected = module.is_block ? reference_features().at(module.name)
                                                  : inputs_.reference.run_module(module.name, input, few_);
      rows.push_back(judge_on_device(module.name, inputs_.devices, [&] {
        return judge_tensor(module.name, expected, inputs_.device.run_module(module.name, input, few_),
                            blocks ? limits_.layer_pcc : limits_.module_pcc);
      }));
      advise(rows.back());
      if (!module.is_block) pieces.insert_or_assign(module.name, expected);
    }
    return rows;
  }

  /// The whole model: what each block gives when its input is the device's own, and the logits.
  std::vector<Row> full_model() {
    const Features& expected = reference_features();
    Features actual;
    advance(0.0, "forward");
    const HostTensor logits = inputs_.device.forward(few_, &actual);
    std::vector<Row> rows;
    for (const ClassifierModule& module : inputs_.reference.modules()) {
      if (!module.is_block || expected.at(module.name).shape.rank() == 2) continue;
      rows.push_back(judge_tensor(module.name, expected.at(module.name), actual.at(module.name), limits_.hidden_pcc));
      advise(rows.back());
    }
    const HostTensor& last = expected.at(last_block());
    rows.push_back(judge_logits("logits", {last.data, logits.data}, last.shape[-1], limits_, false));
    advise(rows.back());
    return rows;
  }

  /// Whether the same class comes first, over all items.
  std::vector<Row> agreement() {
    advance(0.0, "reference");
    const HostTensor expected = inputs_.reference.forward(inputs_.items, nullptr);
    advance(0.5, "device");
    const HostTensor actual = inputs_.device.forward(inputs_.items, nullptr);
    Row row = judge_logits("logits", {expected.data, actual.data}, expected.shape[-1], limits_, true);
    advise(row);
    if (inputs_.labels.empty()) return {row};
    const auto accuracy = [&](const HostTensor& logits) {
      double right = 0;
      for (std::size_t i = 0; i < inputs_.labels.size(); ++i)
        right +=
            static_cast<std::int64_t>(metrics::argmax(logits.row(static_cast<std::int64_t>(i)))) == inputs_.labels[i];
      return right / static_cast<double>(inputs_.labels.size());
    };
    Row reference{.module = "reference on labels"};
    reference.figures = {{"top1", accuracy(expected), {}}};
    // As much as the agreement may cost, and one item that a tie decides.
    const double lost = 1.0 - limits_.top1 + 1.0 / static_cast<double>(inputs_.labels.size());
    Row device{.module = "device on labels"};
    device.figures = {{"top1", accuracy(actual), Bound{Bound::Kind::AT_LEAST, reference.figures[0].value - lost}}};
    settle(device);
    advise(device);
    return {row, reference, device};
  }

  /// Other forms of the model: the same bits, or as near to the reference.
  std::vector<Row> forms(const std::string& stage) {
    std::vector<Row> rows;
    HostTensor expected;
    for (const ClassifierForm& form : inputs_.forms) {
      if (form.stage != stage) continue;
      advance(0.0, form.name);
      if (!form.same_bits) {
        const HostTensor& reference = reference_features().at(last_block());
        rows.push_back(
            judge_logits(form.name, {reference.data, form.run(few_).data}, reference.shape[-1], limits_, false));
        advise(rows.back());
        continue;
      }
      if (expected.data.empty()) expected = inputs_.device.forward(few_, nullptr);
      const HostTensor actual = form.run(few_);
      double equal = 0;
      for (std::size_t i = 0; i < std::min(expected.data.size(), actual.data.size()); ++i)
        equal += expected.data[i] == actual.data[i];
      Row row{.module = form.name};
      row.figures = {{"equal_logits", equal, Bound{Bound::Kind::AT_LEAST, static_cast<double>(expected.data.size())}}};
      settle(row);
      if (!row.passed) row.advice = "the same ops gave other bits: look for an op that reads what is overwritten";
      rows.push_back(std::move(row));
    }
    if (rows.empty()) throw Skipped{"the model has no such form on this board"};
    return rows;
  }

  void begin(const std::string& stage, std::size_t number, std::size_t count) {
    state_ = {.stage = stage, .stage_number = number, .stage_count = count};
    progress_.stage_started(stage);
  }

 private:
  void advance(double fraction, const std::string& doing) {
    if (progress_.cancelled()) throw Cancelled{};
    state_.stage_fraction = fraction;
    state_.doing = doing;
    progress_.advanced(state_);
  }
  void advise(Row& row) const {
    if (row.passed || !row.advice.empty()) return;
    row.advice = advice_for_l1(row);
    if (!row.advice.empty()) return;
    row.advice = options_.precision == "full"
                     ? "in fp32 little is left to precision: compare the module's weights, and how it treats padding"
                     : "run with --precision full: if that passes, formats are at fault, raise them block by block";
  }
  const Features& reference_features() {
    if (features_.empty()) {
      advance(0.0, "reference");
      inputs_.reference.forward(few_, &features_);
    }
    return features_;
  }
  std::string last_block() const {
    std::string last;
    for (const ClassifierModule& module : inputs_.reference.modules()) {
      if (module.is_block) last = module.name;
    }
    return last;
  }

  const ClassifierInputs& inputs_;
  const ClassifierOptions& options_;
  Progress& progress_;
  Thresholds limits_;
  HostTensor few_;
  Features features_;
  ProgressState state_;
};

struct ClassifierStage {
  const char* name;
  std::vector<Row> (*run)(ClassifierRun& run);
};
constexpr ClassifierStage kStages[] = {
    {"baseline", [](ClassifierRun& run) { return run.baseline(); }},
    {"operators", [](ClassifierRun& run) { return run.modules(false); }},
    {"blocks", [](ClassifierRun& run) { return run.modules(true); }},
    {"full-model", [](ClassifierRun& run) { return run.full_model(); }},
    {"top-1-agreement", [](ClassifierRun& run) { return run.agreement(); }},
    {"trace-and-queues", [](ClassifierRun& run) { return run.forms("trace-and-queues"); }},
    {"data-parallel", [](ClassifierRun& run) { return run.forms("data-parallel"); }},
    {"tensor-parallel", [](ClassifierRun& run) { return run.forms("tensor-parallel"); }},
};

StageResult run_stage(const ClassifierStage& stage, ClassifierRun& run) {
  StageResult result{.name = stage.name};
  const auto start = std::chrono::steady_clock::now();
  try {
    result.rows = stage.run(run);
    const bool passed = std::all_of(result.rows.begin(), result.rows.end(), [](const Row& row) { return row.passed; });
    result.verdict = passed && !result.rows.empty() ? Verdict::PASSED : Verdict::FAILED;
    if (result.rows.empty()) result.message = "the stage found nothing to judge";
  } catch (const Skipped& skipped) {
    result.verdict = Verdict::SKIPPED;
    result.message = skipped.reason;
  } catch (const std::exception& error) {
    result.verdict = Verdict::FAILED;
    result.message = error.what();
  }
  result.time_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

/// All that the results depend on and that the report tells.
std::string key_of(const Report& report) {
  std::string text;
  for (const auto& [name, value] : report.facts) text += fmt::format("{} {};", name, value);
  return hash_of(text);
}

} // namespace

std::vector<std::string> classifier_stage_names() {
  std::vector<std::string> names;
  for (const ClassifierStage& stage : kStages) names.emplace_back(stage.name);
  return names;
}

Report run_classifier(const ClassifierInputs& inputs, const ClassifierOptions& options, Progress& progress) {
  const std::vector<std::string> known = classifier_stage_names();
  for (const std::string& name : options.stages) {
    base::require(std::find(known.begin(), known.end(), name) != known.end(),
                  "[bringup] a stage of a classifier must be one of {}; received {}", fmt::join(known, ", "), name);
  }
  base::require(inputs.items.shape.rank() > 1 && inputs.items.shape[0] > 0 &&
                    (inputs.labels.empty() || std::ssize(inputs.labels) == inputs.items.shape[0]),
                "[bringup] items [N, ...] and a label for each or none are required; received {} and {}",
                inputs.items.shape, inputs.labels.size());
  const nn::ClassifierInfo& info = inputs.device.info();
  const bool images = info.input == nn::ClassifierInput::IMAGES;
  Report report{.classifier = true};
  if (!inputs.name.empty()) report.facts.emplace_back("checkpoint", inputs.name);
  const std::pair<std::string, std::string> facts[] = {
      {"model", fmt::format("{}, {} classes, {}", info.family, info.classes,
                            images ? fmt::format("images of {}x{}", info.image_size, info.image_size)
                                   : fmt::format("texts of up to {} tokens", info.max_positions))},
      {"device", fmt::format("{}, precision {}", options.board, options.precision)},
      {"reference", "libtorch in fp32"},
      {images ? "images" : "texts", fmt::format("{}, {}", inputs.items.shape[0], inputs.source)}};
  report.facts.insert(report.facts.end(), std::begin(facts), std::end(facts));
  report.key = key_of(report);
  std::vector<ClassifierStage> stages;
  for (const ClassifierStage& stage : kStages) {
    const bool wanted = options.stages.empty() ||
                        std::find(options.stages.begin(), options.stages.end(), stage.name) != options.stages.end();
    if (!wanted) continue;
    stages.push_back(stage);
    report.stages.push_back({.name = stage.name});
  }
  ClassifierRun run(inputs, options, progress);
  for (std::size_t i = 0; i < stages.size(); ++i) {
    run.begin(stages[i].name, i + 1, stages.size());
    try {
      report.stages[i] = run_stage(stages[i], run);
    } catch (const Cancelled&) {
      break;
    }
    progress.stage_finished(report.stages[i]);
    write_report(report, options.report_folder);
  }
  write_report(report, options.report_folder);
  return report;
}

} // namespace tessera::bringup
