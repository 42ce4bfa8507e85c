#include "tessera/bringup/bisect/bisect.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <memory>

#include "apps/cli/bringup_material.hpp"
#include "apps/cli/classifier.hpp"
#include "apps/cli/command.hpp"
#include "apps/cli/exit_code.hpp"
#include "apps/cli/interrupt.hpp"
#include "apps/cli/json_output.hpp"
#include "apps/cli/model_options.hpp"
#include "apps/cli/progress.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/bringup/bisect/report.hpp"
#include "tessera/models/family.hpp"
#include "tessera/reference/reference.hpp"

namespace tessera::cli {
namespace {

namespace bisect = bringup::bisect;

// Texts that decode takes side by side.
constexpr std::int64_t kUsers = 4;
constexpr std::size_t kMaxPrecisionBytes = 1 << 20;

struct Options {
  ModelOptions model;
  std::string checkpoint;
  MaterialRequest material{.sequence_length = 128, .max_ids = 512};
  std::int64_t layers = 0;
  std::string svg;
  std::string report;
  JsonOutput json;
};

/// What --precision says, as the JSON of a file.
nlohmann::json precision_file(const std::string& precision) {
  if (!precision.ends_with(".json")) return {{"base", precision}};
  return nlohmann::json::parse(base::read_file(precision, kMaxPrecisionBytes), nullptr, false);
}

nn::Precision precision_of(const Options& options, const nn::DecoderConfig& config) {
  return nn::make_precision(options.model.precision,
                            {.family = config.family, .layers = config.layers, .parameters = config.parameters()});
}

/// A file that lasts as long as a model is being loaded by it.
class PrecisionFile {
 public:
  explicit PrecisionFile(const nlohmann::json& precision) {
    std::string name = (std::filesystem::temp_directory_path() / "tessera-XXXXXX").string();
    base::require<base::IoError>(::mkdtemp(name.data()) != nullptr,
                                 "[bisect] a temporary folder must be writable; {} is not; set TMPDIR", name);
    folder_ = name;
    base::write_file_atomically(path(), precision.dump());
  }
  ~PrecisionFile() {
    std::error_code error;
    std::filesystem::remove_all(folder_, error);
  }
  PrecisionFile(const PrecisionFile&) = delete;
  PrecisionFile& operator=(const PrecisionFile&) = delete;

  std::filesystem::path path() const { return folder_ / "precision.json"; }

 private:
  std::filesystem::path folder_;
};

/// The same model on a board of its own, in another precision.
std::unique_ptr<nn::CausalLM> open_other(const Options& options, const checkpoint::Checkpoint& checkpoint,
                                         models::LoadOptions load, const nlohmann::json& precision) {
  ModelOptions model = options.model;
  load.weight_cache = {};
  if (precision.is_string()) {
    load.precision = model.precision = precision.get<std::string>();
    return std::move(open_model(model, checkpoint, load).model);
  }
  const PrecisionFile file(precision);
  load.precision = model.precision = file.path().string();
  return std::move(open_model(model, checkpoint, load).model);
}

/// The router of a layer's mixture of experts, from the checkpoint.
std::optional<bisect::Router> router_of(const checkpoint::Checkpoint& checkpoint, const nn::DecoderConfig& config,
                                        std::int64_t layer) {
  if (config.experts.count == 0) return std::nullopt;
  const nn::DecoderNames names = models::names_in(checkpoint, config);
  const checkpoint::TensorView& weight = checkpoint.tensor(names.of_layer(layer, names.router) + ".weight");
  return bisect::Router{{{config.experts.count, config.hidden_size}, checkpoint::to_float(weight)},
                        config.experts.per_token};
}

/// The ops that run on the devices, each beside the reference's on the same inputs.
std::vector<bringup::OpRow> compare_ops(const ModelOnBoard& opened, const std::function<void()>& run) {
  bringup::OpComparison comparison;
  const auto devices = opened.devices();
  for (runtime::MeshDevice* device : devices) device->add_observer(comparison);
  const auto remove = [&](void*) {
    for (runtime::MeshDevice* device : devices) device->remove_observer(comparison);
  };
  {
    const std::unique_ptr<void, decltype(remove)> watched(&comparison, remove);
    run();
  }
  return comparison.rows();
}

/// Where --report leaves the remedy.
std::filesystem::path remedy_path(const Options& options) {
  return std::filesystem::path(options.report) / "precision.json";
}

void require_other_file_than_the_remedys(const Options& options) {
  std::error_code error;
  base::require(
      options.report.empty() || !std::filesystem::equivalent(remedy_path(options), options.model.precision, error),
      "[bisect] --report must be a folder whose precision.json, the remedy's file, is not --precision; "
      "received {} and {}; choose another folder",
      options.report, options.model.precision);
}

/// Writes what --svg and --report ask for.
void write_files(const Options& options, const bisect::Result& result) {
  if (!options.svg.empty()) base::write_file_atomically(options.svg, bisect::to_svg(result));
  if (options.report.empty()) return;
  const std::filesystem::path folder = options.report;
  std::error_code error;
  const bool of_earlier_run = std::filesystem::exists(folder / "bisect.json", error);
  base::write_file_atomically(folder / "bisect.json", bisect::to_json(result).dump(2) + "\n");
  base::write_file_atomically(folder / "bisect.svg", bisect::to_svg(result));
  if (!result.finding.remedy.is_null()) {
    base::write_file_atomically(remedy_path(options), result.finding.remedy.dump(2) + "\n");
  } else if (of_earlier_run) {
    std::filesystem::remove(remedy_path(options), error); // the remedy of that run is none of this one
  }
}

/// How to try the remedy.
std::string remedy_text(const Options& options, const bisect::Finding& finding) {
  if (finding.remedy.is_null()) return "";
  if (options.report.empty()) return fmt::format("as a file for --precision: {}\n", finding.remedy.dump());
  return fmt::format("try it: --precision {}\n", remedy_path(options).string());
}

int run(const Options& options) {
  const InterruptGuard interrupt;
  require_other_file_than_the_remedys(options);
  const auto checkpoint = models::open_classifier_checkpoint(options.checkpoint);
  base::require<base::Unsupported>(!is_classifier(checkpoint),
                                   "[bisect] a decoder is required; {} is a classifier; use tessera bringup, which "
                                   "judges its blocks one by one",
                                   options.checkpoint);
  nn::DecoderConfig config = models::configure(checkpoint);
  const nn::Precision precision = precision_of(options, config);
  MaterialRequest request = options.material;
  request.vocab_size = config.vocab_size;
  const std::int64_t limit = options.model.context > 0 ? options.model.context : config.max_positions;
  request.sequence_length = std::min(request.sequence_length, limit);
  const MaterialChoice choice = choose_material(checkpoint, find_tokenizer(checkpoint), request);
  ModelOptions model = options.model;
  if (!model.dp) model.dp = 1; // copies give the same results
  const models::LoadOptions load{
      .precision = model.precision,
      .context = options.model.context > 0
                     ? options.model.context
                     : std::min(config.max_positions, std::max<std::int64_t>(choice.material.longest(), 128)),
      .max_users = kUsers,
      .execution = {.two_queues = false},
      .layers = options.layers,
      .weight_cache = weight_cache_of(model)};
  const auto reference = reference::open(checkpoint, {.threads = model.threads, .layers = options.layers});
  const ModelOnBoard opened = open_model(model, checkpoint, load);
  Options others = options;
  others.model = model;
  const bisect::Inputs inputs{
      .device = *opened.model,
      .reference = *reference,
      .texts = choice.material.texts,
      .precision = precision,
      .precision_file = precision_file(model.precision),
      .stored = config.stored_dtype,
      .open = [&](const nlohmann::json& other) { return open_other(others, checkpoint, load, other); },
      .router = [&](std::int64_t layer) { return router_of(checkpoint, config, layer); },
      .compare_ops = [&](const std::function<void()>& work) { return compare_ops(opened, work); }};
  Progress progress("bisect");
  const bisect::Result result =
      bisect::bisect(inputs, {.numerics = model.numerics, .progress = [&](const bisect::Progress& now) {
                                InterruptGuard::check();
                                progress.update(now.doing, now.fraction, now.seconds_left.value_or(0.0));
                              }});
  options.json.write(bisect::to_json(result));
  write_files(options, result);
  if (!options.json.on_standard_output())
    write_standard_output(bisect::to_table(result) + remedy_text(options, result.finding));
  write_note(fmt::format("text: {}", choice.text_source));
  return EXIT_OK;
}

void add_options(CLI::App& app, Options& options) {
  app.add_option("CHECKPOINT", options.checkpoint, "A checkpoint's folder or Hugging Face name")->required();
  app.add_option("--text", options.material.text_file,
                 "Text to measure on; default: heldout.txt beside the weights, else a paragraph of Dickens");
  app.add_option("--sequence-length", options.material.sequence_length, "Tokens of each piece of the text")
      ->capture_default_str();
  app.add_option("--max-text-tokens", options.material.max_ids, "Tokens of the text in all")->capture_default_str();
  app.add_option("--layers", options.layers, "Only the first so many layers, on both sides; 0: all")
      ->capture_default_str();
  app.add_option("--svg", options.svg, "File for a picture of local beside accumulated errors");
  app.add_option("--report", options.report,
                 "Folder for bisect.json, bisect.svg and precision.json, the remedy where there is one");
  options.model.add(app);
  options.json.add(app, "Everything that was measured");
}

} // namespace

Command bisect_command() {
  return {.name = "bisect",
          .summary = "Finds where accuracy is lost: the module, the tensor group and its layers, and the remedy",
          .examples =
              "Compares every module with the reference on the same inputs (local) and on the device's own\n"
              "(accumulated), then puts one thing right at a time: a module of the reference's in its place, or a\n"
              "tensor group in full precision, and measures what the KL divergence of teacher forcing gains.\n\n"
              "Examples:\n"
              "  tessera bisect demo --precision performance\n"
              "  tessera bisect demo --precision mine.json --report bisect --numerics exact\n"
              "  tessera bisect meta-llama/Llama-3.2-1B --layers 4 --json",
          .add = [](CLI::App& app) -> std::function<int()> {
            auto options = std::make_shared<Options>();
            add_options(app, *options);
            return [options] { return run(*options); };
          }};
}

} // namespace tessera::cli
