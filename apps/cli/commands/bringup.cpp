#include "tessera/bringup/bringup.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <memory>
#include <set>

#include "apps/cli/board_file.hpp"
#include "apps/cli/bringup_material.hpp"
#include "apps/cli/classifier.hpp"
#include "apps/cli/classifier_bringup.hpp"
#include "apps/cli/command.hpp"
#include "apps/cli/config_path.hpp"
#include "apps/cli/exit_code.hpp"
#include "apps/cli/interrupt.hpp"
#include "apps/cli/json_output.hpp"
#include "apps/cli/memory_plan.hpp"
#include "apps/cli/op_watch.hpp"
#include "apps/cli/profile_option.hpp"
#include "apps/cli/progress.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/base/error.hpp"
#include "tessera/bringup/file_reference.hpp"
#include "tessera/bringup/identity.hpp"
#include "tessera/bringup/live_reference.hpp"
#include "tessera/bringup/predicted_speed.hpp"
#include "tessera/bringup/published.hpp"
#include "tessera/bringup/recorded_steps.hpp"
#include "tessera/bringup/report_page/page.hpp"
#include "tessera/reference/reference.hpp"

namespace tessera::cli {
namespace {

// Users of the device: what the module stages feed side by side.
constexpr std::int64_t kUsers = 4;

struct Options {
  ModelOptions model;
  std::string checkpoint;
  MaterialRequest material{.sequence_length = 256, .max_ids = 2048};
  std::string reference_file;
  std::string report = "report";
  std::vector<std::string> stages;
  std::int64_t layers = 0;
  bool all_layers = false;
  bool resume = false;
  ProfileOption profile;
  JsonOutput json;
};

/// A line for each stage as it ends, and one that says how far the work is; the profile learns of the stages.
class TerminalProgress : public bringup::Progress {
 public:
  /// Null: nothing is recorded.
  explicit TerminalProgress(ProfileRecording* recording) : recording_(recording) {}

  void stage_started(const std::string& name) override {
    if (recording_ != nullptr) recording_->begin_stage(name);
  }
  void advanced(const bringup::ProgressState& state) override {
    const double fraction =
        (static_cast<double>(state.stage_number - 1) + state.stage_fraction) / static_cast<double>(state.stage_count);
    progress_.update(fmt::format("{}/{} {}: {}", state.stage_number, state.stage_count, state.stage, state.doing),
                     fraction, state.seconds_left.value_or(0.0));
  }
  bool cancelled() const override { return InterruptGuard::flag(); }

 private:
  ProfileRecording* recording_;
  cli::Progress progress_{"bring-up"};
};

/// The checkpoint with its first layers only is another one to everything that is kept of it.
std::string with_layers(const std::string& identity, std::int64_t layers) {
  return fmt::format("{}, layers {}", identity, layers);
}

/// Expected values from the file that the user named, or from libtorch on the spot; and what to run on.
struct Baseline {
  std::unique_ptr<bringup::Reference> reference;
  MaterialChoice choice;
};

Baseline open_baseline(const Options& options, const checkpoint::Checkpoint& checkpoint,
                       const std::optional<tokenizer::Tokenizer>& tokenizer, const MaterialRequest& request) {
  if (!options.reference_file.empty()) {
    base::require(
        options.layers == 0,
        "[bringup] --layers needs a reference that runs here; received --reference too; leave one of them out");
    auto file = std::make_unique<bringup::FileReference>(options.reference_file);
    MaterialChoice choice{
        .material = file->material(), .text_source = options.reference_file, .prompt_source = options.reference_file};
    return {std::move(file), std::move(choice)};
  }
  MaterialChoice choice = choose_material(checkpoint, tokenizer, request);
  bringup::ResultCache cache(std::filesystem::path(options.report) / "reference",
                             with_layers(bringup::checkpoint_identity(checkpoint), options.layers));
  auto open = [&checkpoint, threads = options.model.threads, layers = options.layers] {
    return reference::open(checkpoint, {.threads = threads, .layers = layers});
  };
  auto live = std::make_unique<bringup::LiveReference>(open, std::move(cache), choice.material.texts,
                                                       bringup::LiveReferenceOptions{.module_users = kUsers});
  return {std::move(live), std::move(choice)};
}

std::string notes_of(const Baseline& baseline, bool has_tokenizer) {
  return fmt::format("text: {}; prompts: {}{}", baseline.choice.text_source, baseline.choice.prompt_source,
                     has_tokenizer ? "" : "; without a tokenizer.json the bring-up works on ids");
}

/// Copies on more chips, and more chips for each copy, as far as the board goes and the model fits there.
std::vector<bringup::ParallelForm> parallel_forms(const ModelOptions& options, const checkpoint::Checkpoint& checkpoint,
                                                  const models::LoadOptions& load, const models::Parallelism& base) {
  const BoardSpec whole = find_board(options.board);
  const nn::DecoderConfig config = models::configure(checkpoint);
  std::vector<bringup::ParallelForm> forms;
  const auto add = [&](const models::Parallelism& parallelism, bool shares_layers) {
    ModelOptions own = options;
    own.dp = parallelism.dp;
    own.tp = parallelism.scheme == nn::TensorParallelScheme::GRID
                 ? fmt::format("{}x{}", parallelism.rows, parallelism.columns)
                 : std::to_string(parallelism.tp());
    models::LoadOptions on_all = load;
    on_all.max_users = std::max(load.max_users, parallelism.dp);
    const BoardRequest wanted{.dp = own.dp, .tp = own.tp, .users = on_all.max_users};
    const PlanRequest request{
        .precision = load.precision, .context = load.context, .prompt_length = 1, .layers = load.layers};
    if (!plan_board(whole, wanted, checkpoint, request).memory.fits) return;
    const std::string name = parallelism.dp == 1 ? "tp " + own.tp : models::to_string(parallelism);
    forms.push_back({.name = name,
                     .shares_layers = shares_layers,
                     .open = [=, &checkpoint] { return std::move(open_model(own, checkpoint, on_all).model); },
                     .sharding = bringup::sharding_of(whole, parallelism, config)});
  };
  for (const std::int64_t dp : std::set<std::int64_t>{2, base.most_copies(whole)}) {
    models::Parallelism copies = base;
    copies.dp = dp;
    if (1 < dp && dp <= base.most_copies(whole)) add(copies, false);
  }
  for (const models::Parallelism& line : models::tensor_parallelisms(whole, config)) {
    if (line.tp() > base.tp()) add(line, true);
  }
  if (whole.mesh_rows > 1 && whole.mesh_columns > 1 && nn::heads_divide(config, whole.mesh_rows))
    add({.rows = whole.mesh_rows, .columns = whole.mesh_columns, .scheme = nn::TensorParallelScheme::GRID}, true);
  return forms;
}

/// What the stage performance sets beside the measurement: the checkpoint's own prediction, and the model's published
/// figures where configs/ knows it. Must be called while `inputs` may still be changed; refers to the checkpoint.
void predict_speeds(bringup::Inputs& inputs, const ModelOptions& options, const checkpoint::Checkpoint& checkpoint,
                    const models::Parallelism& parallelism, std::int64_t context) {
  inputs.predict_speed = [&checkpoint, board = find_board(options.board), parallelism, context,
                          precision = options.precision](std::int64_t prompt_length) {
    return bringup::predict_speed(checkpoint, board, parallelism,
                                  {.precision = precision, .context = context, .prompt_length = prompt_length},
                                  perfmodel::constants());
  };
  inputs.known_as = known_config(checkpoint);
  inputs.known_board = find_board(options.board).name;
  if (inputs.known_as.empty()) return;
  inputs.predict_published = [&checkpoint](const bringup::Published& row) {
    constexpr std::int64_t kGenerated = 1024; // room behind the prompt
    BoardSpec whole = board(row.board);
    whole.arch.dram_bytes_per_bank = std::int64_t{1} << 40; // the card takes long prompts in pieces, we in one
    models::Parallelism shared = models::parse_tensor_parallelism(whole, std::to_string(whole.chips() / row.copies));
    shared.dp = row.copies;
    return bringup::predict_speed(checkpoint, whole, shared,
                                  {.precision = row.precision,
                                   .users = row.users,
                                   .context = row.prompt_length + kGenerated,
                                   .prompt_length = row.prompt_length},
                                  perfmodel::constants());
  };
}

/// What the page shows beside the report: a step's ops and memory, found in record mode, the same step on this host,
/// and how the forms lie on the board. Where a step cannot be had, the page says so.
void write_page_files(const Options& options, const bringup::Report& report, const checkpoint::Checkpoint& checkpoint,
                      const ModelOnBoard& opened, const bringup::Inputs& inputs, std::int64_t context) {
  const BoardSpec board = find_board(options.model.board);
  bringup::Sharding sharding{.board = board.name,
                             .rows = board.mesh_rows,
                             .columns = board.mesh_columns,
                             .forms = {bringup::sharding_of(board, opened.parallelism, models::configure(checkpoint))}};
  for (const bringup::ParallelForm& form : inputs.parallel_forms) sharding.forms.push_back(form.sharding);
  bringup::write_sharding(sharding, report.key, options.report);
  bringup::Ids prompt = inputs.material.texts.front();
  prompt.resize(std::min(prompt.size(), static_cast<std::size_t>(std::max<std::int64_t>(context - 1, 1))));
  try {
    bringup::write_measured_steps(bringup::measure_steps(*opened.model, opened.devices(), prompt), report.key,
                                  options.report);
    bringup::write_recorded_steps(bringup::record_steps(checkpoint, board, opened.parallelism,
                                                        {.precision = options.model.precision,
                                                         .context = context,
                                                         .prompt_length = std::ssize(prompt),
                                                         .layers = options.layers},
                                                        perfmodel::constants()),
                                  report.key, options.report);
  } catch (const base::OutOfMemory& error) {
    write_note(fmt::format("the page has no memory map, timeline and op graph: {}", error.what()));
  }
}

int finish(const Options& options, const bringup::Report& report, const TerminalProgress& progress) {
  options.json.write(bringup::to_json(report));
  if (!options.json.on_standard_output()) write_standard_output(bringup::to_table(report));
  bringup::write_report_page(options.report);
  write_note(fmt::format("the report lies in {0}: {0}/report.html (bringup.json, bringup.xml)", options.report));
  if (progress.cancelled()) return EXIT_INTERRUPTED;
  return report.passed() ? EXIT_OK : EXIT_NO;
}

int run_classifier(const Options& options, const checkpoint::Checkpoint& checkpoint) {
  base::require(options.layers == 0 && options.reference_file.empty() && options.profile.file().empty(),
                "[bringup] a classifier is brought up whole, against libtorch; leave --layers, --reference and "
                "--profile out");
  TerminalProgress progress(nullptr);
  const bringup::Report report = bringup_classifier(
      {.name = options.checkpoint, .model = options.model, .stages = options.stages, .report = options.report},
      checkpoint, progress);
  return finish(options, report, progress);
}

int run(const Options& options) {
  const InterruptGuard interrupt;
  OpWatch::set_default_folder(options.report);
  const auto checkpoint = models::open_classifier_checkpoint(options.checkpoint);
  if (is_classifier(checkpoint)) return run_classifier(options, checkpoint);
  for (const std::string& stage : options.stages) {
    const auto known = bringup::stage_names();
    base::require(std::find(known.begin(), known.end(), stage) != known.end(),
                  "[bringup] stages are {}; received \"{}\"", fmt::join(known, ", "), stage);
  }
  const nn::DecoderConfig config = models::configure(checkpoint);
  const auto tokenizer = find_tokenizer(checkpoint);
  const std::int64_t limit = options.model.context > 0 ? options.model.context : config.max_positions;
  MaterialRequest request = options.material;
  request.vocab_size = config.vocab_size;
  request.sequence_length = std::min(request.sequence_length, limit);
  const bringup::Options settings{.stages = options.stages,
                                  .precision = options.model.precision,
                                  .numerics = options.model.numerics,
                                  .board = options.model.board,
                                  .all_layers = options.all_layers,
                                  .report_folder = options.report,
                                  .resume = options.resume};
  const Baseline baseline = open_baseline(options, checkpoint, tokenizer, request);
  const std::int64_t longest = baseline.choice.material.longest() + settings.generation_tokens;
  const std::int64_t context = options.model.context > 0
                                   ? options.model.context
                                   : std::min(config.max_positions, std::max<std::int64_t>(longest, 128));
  ModelOptions two_queues = options.model; // for the stage that compares them
  two_queues.command_queues = 2;
  if (!two_queues.dp) two_queues.dp = 1; // copies have a stage of their own
  const models::LoadOptions load{.precision = options.model.precision,
                                 .context = context,
                                 .max_users = kUsers,
                                 .execution = {.two_queues = false},
                                 .layers = options.layers,
                                 .weight_cache = weight_cache_of(options.model)};
  const ModelOnBoard opened = open_model(two_queues, checkpoint, load);
  bringup::Inputs inputs{.device = *opened.model,
                         .reference = *baseline.reference,
                         .material = baseline.choice.material,
                         .name = options.checkpoint,
                         .identity = with_layers(bringup::checkpoint_content(checkpoint), options.layers),
                         .files = bringup::checkpoint_identity(checkpoint),
                         .checkpoint = options.layers == 0 ? &checkpoint : nullptr,
                         .expected_tensors = models::expected_tensors(checkpoint),
                         .devices = opened.devices(),
                         .parallel_forms = parallel_forms(two_queues, checkpoint, load, opened.parallelism)};
  if (options.layers == 0) predict_speeds(inputs, options.model, checkpoint, opened.parallelism, context);
  if (tokenizer) inputs.decode_text = [&](std::span<const std::int32_t> ids) { return tokenizer->decode(ids); };
  ProfileRecording recording(options.profile, opened.devices(), options.model, options.checkpoint);
  TerminalProgress progress(&recording);
  const bringup::Report report = bringup::run(inputs, settings, progress);
  if (!progress.cancelled()) write_page_files(options, report, checkpoint, opened, inputs, context);
  const int code = finish(options, report, progress);
  write_note(notes_of(baseline, tokenizer.has_value()));
  recording.write();
  return code;
}

void add_options(CLI::App& app, Options& options) {
  app.add_option("CHECKPOINT", options.checkpoint, "A checkpoint's folder or Hugging Face name")->required();
  app.add_option("--prompt", options.material.prompts,
                 "Text that the generation stages continue; may be given more than once")
      ->allow_extra_args(false);
  app.add_option("--text", options.material.text_file,
                 "Text to judge on; default: heldout.txt beside the weights, else a paragraph of Dickens");
  app.add_option(
         "--stages", options.stages,
         fmt::format("Only these, separated by commas: {}; of a classifier: {}",
                     fmt::join(bringup::stage_names(), ", "), fmt::join(bringup::classifier_stage_names(), ", ")))
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_flag("--resume", options.resume, "Take over what an earlier run with this report folder passed");
  app.add_option("--layers", options.layers, "Only the first so many layers, on both sides; 0: all")
      ->capture_default_str();
  app.add_flag("--all-layers", options.all_layers, "Module stages take every layer, not the first, middle and last");
  app.add_option("--sequence-length", options.material.sequence_length, "Tokens of each piece of the text")
      ->capture_default_str();
  app.add_option("--max-text-tokens", options.material.max_ids, "Tokens of the text in all")->capture_default_str();
  app.add_option("--report", options.report, "Folder for the report and the kept results of the reference")
      ->capture_default_str();
  app.add_option("--reference", options.reference_file,
                 "safetensors file with a baseline made elsewhere, in place of libtorch");
  options.model.add(app);
  options.profile.add(app);
  options.json.add(app, "The report");
}

} // namespace

Command bringup_command() {
  return {.name = "bringup",
          .summary = "Takes a checkpoint through the bring-up guide, stage by stage, against the reference",
          .examples =
              "Each stage gets a verdict of its own; a failing row names the module, the figure, the limit and what\n"
              "to try next. The report folder holds bringup.json, bringup.xml (JUnit) and the reference's results,\n"
              "which a second run reads. Exit code 0 only if all stages pass.\n\n"
              "Examples:\n"
              "  tessera bringup demo\n"
              "  tessera bringup demo --stages baseline,decode-modules --precision performance\n"
              "  tessera bringup meta-llama/Llama-3.2-1B --layers 2 --report report-2 --resume\n"
              "  tessera bringup demo --reference golden.safetensors\n"
              "  tessera bringup microsoft/resnet-50 --board t3000",
          .add = [](CLI::App& app) -> std::function<int()> {
            auto options = std::make_shared<Options>();
            add_options(app, *options);
            return [options] { return run(*options); };
          }};
}

} // namespace tessera::cli
