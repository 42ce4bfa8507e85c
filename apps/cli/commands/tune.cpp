#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <memory>
#include <system_error>

#include "apps/cli/board_file.hpp"
#include "apps/cli/bringup_material.hpp"
#include "apps/cli/classifier.hpp"
#include "apps/cli/command.hpp"
#include "apps/cli/exit_code.hpp"
#include "apps/cli/interrupt.hpp"
#include "apps/cli/json_output.hpp"
#include "apps/cli/memory_plan.hpp"
#include "apps/cli/model_options.hpp"
#include "apps/cli/op_watch.hpp"
#include "apps/cli/progress.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/bringup/identity.hpp"
#include "tessera/bringup/live_reference.hpp"
#include "tessera/bringup/predicted_speed.hpp"
#include "tessera/bringup/teacher_forcing.hpp"
#include "tessera/bringup/tune/tune_report.hpp"
#include "tessera/bringup/tune/tune_state.hpp"
#include "tessera/bringup/tune/weight_traffic.hpp"
#include "tessera/kernels/kernels.hpp"
#include "tessera/models/classifier.hpp"
#include "tessera/reference/reference.hpp"

namespace tessera::cli {
namespace {

using bringup::TextPart;
using Ids = bringup::Ids;

constexpr std::int64_t kSideBySide = 8;          // sequences that decode together
constexpr std::int64_t kCalibrationLength = 128; // short sequences, more of them side by side: fewer steps
constexpr std::int64_t kPredictedContext = 1024;
constexpr std::int64_t kPredictedPrompt = 128; // as published speeds have it

struct Options {
  ModelOptions model;
  std::string checkpoint;
  MaterialRequest material{.sequence_length = 256, .max_ids = 2048};
  std::int64_t calibration_ids = 1024;
  std::optional<double> min_top1;
  std::optional<double> max_kl;
  std::string max_bytes;
  std::string objective = "weight-bytes";
  std::vector<std::string> groups;
  std::int64_t users = 1;
  std::uint64_t seed = 1;
  std::int64_t trials = 16;
  std::int64_t front_points = 8;
  std::string output = "tuned.json";
  std::string svg;
  std::string state = "tune-state";
  JsonOutput json;
};

/// The text in two parts: what bringup judges on, and what follows it.
struct Text {
  std::vector<Ids> judged;
  std::vector<Ids> calibration;
  std::string source;
};

Text split_text(const Options& options, const checkpoint::Checkpoint& checkpoint, const nn::DecoderConfig& config) {
  MaterialRequest request = options.material;
  request.vocab_size = config.vocab_size;
  request.sequence_length = std::min(request.sequence_length, config.max_positions);
  base::require(options.calibration_ids >= 2, "[tune] --calibration-tokens must be 2 or more; received {}",
                options.calibration_ids);
  request.max_ids += options.calibration_ids;
  MaterialChoice choice = choose_material(checkpoint, find_tokenizer(checkpoint), request);
  std::vector<Ids>& texts = choice.material.texts;
  Text text{.source = choice.text_source};
  Ids ids;
  for (const Ids& sequence : texts) ids.insert(ids.end(), sequence.begin(), sequence.end());
  // A short text is halved; one of a single sequence serves for both.
  const auto wanted = static_cast<std::size_t>(options.material.max_ids);
  if (wanted + 1 < ids.size()) {
    text.judged = bringup::cut_text(ids, request.sequence_length, options.material.max_ids);
    ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(wanted));
  } else {
    const std::size_t half = std::max<std::size_t>(1, (texts.size() + 1) / 2);
    text.judged.assign(texts.begin(), texts.begin() + static_cast<std::ptrdiff_t>(half));
    ids.clear();
    for (std::size_t i = half; i < texts.size(); ++i) ids.insert(ids.end(), texts[i].begin(), texts[i].end());
  }
  if (!ids.empty())
    text.calibration =
        bringup::cut_text(ids, std::min(kCalibrationLength, request.sequence_length), options.calibration_ids);
  if (text.calibration.empty()) {
    text.calibration = text.judged;
    write_note("the text is short: what is chosen is judged on the text that it was searched on; give a longer --text");
  }
  return text;
}

std::string ids_of(const std::vector<Ids>& texts) {
  std::string all;
  for (const Ids& ids : texts) all += bringup::ids_text(ids) + ";";
  return bringup::hash_of(all);
}

/// Measures precisions on the virtual card, and predicts them on the real one.
class Workshop {
 public:
  Workshop(const Options& options, const checkpoint::Checkpoint& checkpoint, const nn::DecoderConfig& config, Text text)
      : options_(options),
        checkpoint_(checkpoint),
        text_(std::move(text)),
        board_(find_board(options.model.board)),
        context_(config.max_positions),
        candidate_(std::filesystem::path(options.state) / fmt::format("candidate-{}.json", ::getpid())),
        state_(options.state, identity()),
        reference_([this] { return reference::open(checkpoint_, {.threads = options_.model.threads}); },
                   bringup::ResultCache(std::filesystem::path(options.state) / "reference",
                                        fmt::format("{}, layers 0", bringup::checkpoint_identity(checkpoint))),
                   text_.judged) {
    const BoardPlan plan =
        plan_board(board_, {.dp = options.model.dp.value_or(1), .tp = options.model.tp, .users = kSideBySide},
                   checkpoint, {.precision = options.model.precision, .context = longest(), .prompt_length = 1});
    if (!plan.memory.fits) throw base::OutOfMemory(plan.memory.explanation);
    parallelism_ = plan.parallelism;
    mesh_ = runtime::MeshDevice::open({.board = board_,
                                       .numerics = parse_numerics(options.model.numerics),
                                       .threads = options.model.threads,
                                       .pin_threads = options.model.pin_threads});
  }

  ~Workshop() {
    std::error_code error;
    std::filesystem::remove(candidate_, error);
  }
  Workshop(const Workshop&) = delete;
  Workshop& operator=(const Workshop&) = delete;

  bringup::TuneAccuracy accuracy(const nlohmann::json& file, TextPart part) {
    if (const auto known = state_.find(file, part)) return *known;
    if (measured_ == 0) require_finite_reference();
    require_fit(file);
    const auto start = std::chrono::steady_clock::now();
    const bringup::TuneAccuracy measured = measure(file, part);
    state_.add(file, part, measured);
    seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    ++measured_;
    return measured;
  }

  bringup::TuneCost cost(const nlohmann::json& file) const {
    InterruptGuard::check();
    const auto device = runtime::MeshDevice::open(
        {.board = parallelism_.submesh_of(board_), .mode = runtime::RunMode::RECORD, .threads = 1});
    const std::int64_t wanted = options_.model.context > 0 ? options_.model.context : kPredictedContext;
    const auto model = models::load(device, checkpoint_,
                                    {.precision = write_candidate(file),
                                     .context = std::min(wanted, context_),
                                     .max_users = options_.users,
                                     .scheme = parallelism_.scheme});
    bringup::TuneCost cost{.weight_bytes = static_cast<double>(bringup::weight_bytes_per_step(*model, options_.users))};
    const auto speed = bringup::predict_speed(*model, std::min(kPredictedPrompt, model->info().context), options_.users,
                                              parallelism_.dp, perfmodel::constants());
    if (speed) cost.decode_ns = speed->decode.time_ns;
    return cost;
  }

  /// How long what is left takes, of so many measurements.
  double seconds_left(std::int64_t left) const {
    return measured_ > 0 ? seconds_ / static_cast<double>(measured_) * static_cast<double>(left) : 0.0;
  }
  std::size_t kept() const { return state_.size(); }
  const Text& text() const { return text_; }

 private:
  std::string identity() const {
    return fmt::format("{}; program {}, {}; {} numerics; board {}, tp {}, dp {}; judged {}, calibration {}",
                       bringup::checkpoint_identity(checkpoint_), TESSERA_VERSION, kernels::kernels().isa,
                       options_.model.numerics, options_.model.board, options_.model.tp, options_.model.dp.value_or(1),
                       ids_of(text_.judged), ids_of(text_.calibration));
  }
  std::int64_t longest() const {
    std::size_t most = 0;
    for (const Ids& ids : text_.judged) most = std::max(most, ids.size());
    for (const Ids& ids : text_.calibration) most = std::max(most, ids.size());
    return static_cast<std::int64_t>(most);
  }
  /// The candidate as --precision would read it.
  std::string write_candidate(const nlohmann::json& file) const {
    base::write_file_atomically(candidate_, file.dump());
    return candidate_.string();
  }

  void require_finite_reference() {
    for (const auto* part : {&text_.judged, &text_.calibration}) {
      for (const Ids& ids : *part) {
        InterruptGuard::check();
        bringup::require_finite_logits(reference_.sequence(ids)->logits, "tune");
      }
    }
  }

  /// Before weights are read. Throws OutOfMemory.
  void require_fit(const nlohmann::json& file) const {
    const MemoryPlan plan = plan_memory(
        board_, parallelism_, checkpoint_,
        {.precision = write_candidate(file), .users = kSideBySide, .context = longest(), .prompt_length = 1});
    if (!plan.fits) throw base::OutOfMemory(plan.explanation);
  }

  bringup::TuneAccuracy measure(const nlohmann::json& file, TextPart part) {
    const auto check = [](std::int64_t, std::int64_t) { InterruptGuard::check(); };
    const auto model = models::load_copies(mesh_, checkpoint_,
                                           {.precision = write_candidate(file),
                                            .context = longest(),
                                            .max_users = kSideBySide * parallelism_.dp,
                                            .execution = {.two_queues = false},
                                            .scheme = parallelism_.scheme,
                                            .progress = check},
                                           parallelism_);
    for (std::int64_t copy = 0; copy < model->count(); ++copy)
      OpWatch::attach(model->copy(copy).device(), options_.model.board);
    // By decode, which reads the KV cache in its format.
    const bringup::TeacherForcing forced = bringup::teacher_force(
        *model, reference_, part == TextPart::JUDGED ? text_.judged : text_.calibration, {.progress = check});
    return {.top1 = forced.agreement.top1,
            .top5 = forced.agreement.top5,
            .kl_divergence = forced.agreement.kl_divergence,
            .pcc = forced.agreement.pcc,
            .positions = static_cast<std::int64_t>(forced.tokens.size())};
  }

  const Options& options_;
  const checkpoint::Checkpoint& checkpoint_;
  Text text_;
  BoardSpec board_;
  std::int64_t context_;            // the most that the model has
  std::filesystem::path candidate_; // of this process alone: several may share the folder
  bringup::TuneState state_;
  bringup::LiveReference reference_;
  models::Parallelism parallelism_;
  std::shared_ptr<runtime::MeshDevice> mesh_;
  double seconds_ = 0; // of all measurements of this run
  std::int64_t measured_ = 0;
};

/// Found before the search, not after it.
void require_writable(const std::string& file) {
  std::error_code error;
  base::require<base::IoError>(!std::filesystem::is_directory(file, error), "[tune] a file is required; {} is a folder",
                               file);
  const std::string probe = file + ".probe";
  base::write_file_atomically(probe, "");
  std::filesystem::remove(probe, error);
}

/// --max-bytes: a number of bytes, or a preset's.
std::optional<double> bytes_limit(const Options& options, const Workshop& workshop) {
  const std::string& text = options.max_bytes;
  if (text.empty()) return std::nullopt;
  double bytes = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
  const bool number = error == std::errc() && end == text.data() + text.size() && std::isfinite(bytes) && bytes > 0;
  if (number) return bytes;
  base::require(std::ranges::find(bringup::kTunePresets, text) != bringup::kTunePresets.end(),
                "[tune] --max-bytes must be a number of bytes above 0, without a unit, or one of {}; received \"{}\"",
                fmt::join(bringup::kTunePresets, ", "), text);
  return workshop.cost({{"base", text}}).weight_bytes;
}

bringup::TuneOptions search_options(const Options& options, const Workshop& workshop, Progress& progress) {
  base::require(options.objective == "weight-bytes" || options.objective == "tokens-per-s",
                "[tune] --objective must be weight-bytes or tokens-per-s; received \"{}\"", options.objective);
  return {.objective = options.objective == "weight-bytes" ? bringup::TuneObjective::WEIGHT_BYTES
                                                           : bringup::TuneObjective::TOKENS_PER_S,
          .limits = {.min_top1 = options.min_top1,
                     .max_kl = options.max_kl,
                     .max_weight_bytes = bytes_limit(options, workshop)},
          .seed = options.seed,
          .trials = options.trials,
          .front_points = options.front_points,
          .progress = [&](std::int64_t done, std::int64_t total, const std::string& what) {
            InterruptGuard::check();
            progress.update(fmt::format("{} of about {}: {}", done, total, what),
                            static_cast<double>(done) / static_cast<double>(total),
                            workshop.seconds_left(total - done));
          }};
}

int finish(const Options& options, const Workshop& workshop, const bringup::TuneResult& result) {
  nlohmann::json report = bringup::tune_json(result);
  report["checkpoint"] = options.checkpoint;
  report["board"] = options.model.board;
  report["numerics"] = options.model.numerics;
  report["objective"] = options.objective;
  report["seed"] = options.seed;
  report["text"] = workshop.text().source;
  report["output"] = result.chosen ? nlohmann::json(options.output) : nlohmann::json(nullptr);
  if (result.chosen) base::write_file_atomically(options.output, result.points[*result.chosen].file.dump(2) + "\n");
  if (!options.svg.empty()) {
    const std::string title = fmt::format("Precisions of {} on {}, {} numerics", options.checkpoint,
                                          options.model.board, options.model.numerics);
    base::write_file_atomically(options.svg, bringup::tune_svg(result, title));
  }
  options.json.write(report);
  if (!options.json.on_standard_output()) write_standard_output(bringup::tune_table(result));
  write_note(fmt::format("text: {}, {} tokens judged, {} others for sensitivities", workshop.text().source,
                         result.points.front().accuracy.positions, result.base_calibration.positions));
  if (!result.chosen) {
    write_note("nothing that was measured keeps to the limits; ask for less accuracy or allow more bytes");
    return EXIT_NO;
  }
  write_note(fmt::format("the precision lies in {}; use it with --precision {}", options.output, options.output));
  return EXIT_OK;
}

int run(const Options& options) {
  const InterruptGuard interrupt;
  const auto checkpoint = models::open_classifier_checkpoint(options.checkpoint);
  base::require<base::Unsupported>(!is_classifier(checkpoint),
                                   "[tune] language models alone can be tuned; {} is a classifier", options.checkpoint);
  base::require(options.output.ends_with(".json"),
                "[tune] --output must end in .json, which is how --precision knows a file; received \"{}\"",
                options.output);
  require_writable(options.output);
  if (!options.svg.empty()) require_writable(options.svg);
  base::require(!options.state.empty(), "[tune] --state must name a folder; received nothing");
  const nn::DecoderConfig config = models::configure(checkpoint);
  const bringup::PrecisionSpace space(
      options.model.precision, {.family = config.family, .layers = config.layers, .parameters = config.parameters()},
      options.groups, parse_numerics(options.model.numerics) == runtime::Numerics::EXACT);
  Workshop workshop(options, checkpoint, config, split_text(options, checkpoint, config));
  const bringup::TuneProblem problem{
      .space = space,
      .accuracy = [&](const nlohmann::json& file, TextPart part) { return workshop.accuracy(file, part); },
      .cost = [&](const nlohmann::json& file) { return workshop.cost(file); }};
  Progress progress("tuning");
  try {
    return finish(options, workshop, bringup::tune(problem, search_options(options, workshop, progress)));
  } catch (const Interrupted&) {
    throw Interrupted(fmt::format("interrupted; {} measurements are kept in {}, and the same command goes on from them",
                                  workshop.kept(), options.state));
  }
}

void add_options(CLI::App& app, Options& options) {
  app.add_option("CHECKPOINT", options.checkpoint, "A checkpoint's folder or Hugging Face name")->required();
  app.add_option("--min-top1", options.min_top1, "Share of tokens, 0 to 1, whose best one must be the reference's");
  app.add_option("--max-kl", options.max_kl, "Divergence from the reference, in nats, that is allowed");
  app.add_option("--max-bytes", options.max_bytes,
                 "Bytes of weights read for each token that are allowed, or a preset whose bytes they are; alone: the "
                 "most accurate precision within them");
  app.add_option("--objective", options.objective,
                 "weight-bytes: the fewest bytes of weights for each token; tokens-per-s: the best predicted speed")
      ->capture_default_str();
  app.add_option("--groups", options.groups,
                 fmt::format("Tensor groups that may change, separated by commas; default: all of {}",
                             fmt::join(bringup::PrecisionSpace::all_groups(), ", ")))
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--seed", options.seed, "Of the exchanges that are tried")->capture_default_str();
  app.add_option("--trials", options.trials, "Exchanges that are tried once the way down has been searched")
      ->capture_default_str();
  app.add_option("--front-points", options.front_points,
                 "Precisions between the most accurate and the smallest that are measured for the front")
      ->capture_default_str();
  app.add_option("--output", options.output, "The precision file that is written")->capture_default_str();
  app.add_option("--svg", options.svg, "Draw accuracy against cost into this file");
  app.add_option("--state", options.state,
                 "Folder of the measurements and the reference's results, which a rerun takes over")
      ->capture_default_str();
  app.add_option("--text", options.material.text_file,
                 "Text to measure on; default: heldout.txt beside the weights, else a paragraph of Dickens");
  app.add_option("--sequence-length", options.material.sequence_length, "Tokens of each piece of the text")
      ->capture_default_str();
  app.add_option("--max-text-tokens", options.material.max_ids, "Tokens that the result is judged on, as in bringup")
      ->capture_default_str();
  app.add_option("--calibration-tokens", options.calibration_ids,
                 "Tokens behind those, that sensitivities are measured on")
      ->capture_default_str();
  app.add_option("--users", options.users, "Of the decode step that is predicted")
      ->capture_default_str()
      ->check(CLI::Range(1, 32));
  options.model.add(app);
  options.json.add(app, "The search");
}

} // namespace

Command tune_command() {
  return {
      .name = "tune",
      .summary = "Searches the precision of each tensor group and layer for the fewest bytes that keep accuracy",
      .examples =
          "Starts from a preset (--precision). Without limits it looks for the cheapest precision that is no less\n"
          "accurate than the preset. Stop it as you like: the same command goes on where it was. Exit code 0 when a\n"
          "precision was found, 1 when nothing keeps to the limits.\n\n"
          "Examples:\n"
          "  tessera tune demo\n"
          "  tessera tune demo --max-bytes performance --output small.json --svg front.svg\n"
          "  tessera tune demo --min-top1 0.95 --objective tokens-per-s --board n300\n"
          "  tessera tune demo --groups wqkv,wo,ff1_3,ff2 --max-kl 0.01",
      .add = [](CLI::App& app) -> std::function<int()> {
        auto options = std::make_shared<Options>();
        add_options(app, *options);
        return [options] { return run(*options); };
      }};
}

} // namespace tessera::cli
