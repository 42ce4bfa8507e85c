#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "apps/cli/board_file.hpp"
#include "apps/cli/classifier_plan.hpp"
#include "apps/cli/command.hpp"
#include "apps/cli/config_path.hpp"
#include "apps/cli/exit_code.hpp"
#include "apps/cli/json_output.hpp"
#include "apps/cli/memory_plan.hpp"
#include "apps/cli/model_options.hpp"
#include "apps/cli/standard_streams.hpp"
#include "apps/cli/time_plan.hpp"
#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/models/classifier.hpp"
#include "tessera/spec/data_type.hpp"
#include "tessera/spec/tile.hpp"

namespace tessera::cli {
namespace {

struct Options {
  ModelOptions model;
  std::string config;
  PlanRequest request{.users = 1};
  JsonOutput json;
  CLI::Option* memory_map = nullptr;
  std::string memory_map_file;
};

/// A board and what came of the model on it.
struct Answer {
  BoardSpec board;
  BoardPlan plan;
  std::vector<std::string> smaller; ///< sizes of the family that fit where this one does not
};

/// Formats that the weights of matmuls go to.
constexpr DataType kFormats[] = {DataType::BFLOAT16, DataType::BFLOAT8_B, DataType::BFLOAT4_B};

/// Parameters that the DRAM of all chips holds in a format, nothing else being there.
double most_parameters(const BoardSpec& board, DataType format) {
  return static_cast<double>(board.chips() * board.arch.dram_bytes()) * kTileElements /
         static_cast<double>(tile_bytes(format));
}

/// Other sizes of the same family in configs/ that fit, the largest first: "llama-3.2-3b (3.2 B)".
std::vector<std::string> smaller_sizes(const Options& options, const BoardSpec& board,
                                       const checkpoint::Checkpoint& checkpoint) {
  const nn::DecoderConfig config = models::configure(checkpoint);
  struct Size {
    std::int64_t parameters;
    std::filesystem::path path;
  };
  std::vector<Size> sizes;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(TESSERA_CONFIGS, error)) {
    if (entry.path().extension() != ".json") continue;
    try {
      const nn::DecoderConfig other = models::configure(checkpoint::Checkpoint::open_config(entry.path().string()));
      if (other.family == config.family && other.parameters() < config.parameters())
        sizes.push_back({other.parameters(), entry.path()});
    } catch (const base::Unsupported&) {
      // a family that is not built
    }
  }
  std::ranges::sort(sizes, [](const Size& a, const Size& b) { return a.parameters > b.parameters; });
  std::vector<std::string> found;
  for (const Size& size : sizes) {
    const auto smaller = checkpoint::Checkpoint::open_config(size.path.string());
    PlanRequest request = options.request;
    request.context = std::min(request.context, models::configure(smaller).max_positions);
    request.layers = 0;
    if (plan_board(board, {}, smaller, request).memory.fits)
      found.push_back(
          fmt::format("{} ({:.1f} B)", size.path.stem().string(), static_cast<double>(size.parameters) / 1e9));
  }
  return found;
}

nlohmann::json bytes_by_kind(const MemoryUse& use) {
  return {{"weights", use.weights},
          {"kv_cache", use.kv_cache},
          {"activations", use.activations},
          {"collectives", use.collectives},
          {"trace", use.trace}};
}

nlohmann::json report_of(const Options& options, const Answer& answer) {
  const auto& [parallelism, plan] = answer.plan;
  nlohmann::json most = nlohmann::json::object();
  for (const DataType format : kFormats) most[to_string(format)] = most_parameters(answer.board, format);
  nlohmann::json report{{"fits", plan.fits},
                        {"config", options.config},
                        {"family", plan.family},
                        {"board", answer.board.name},
                        {"board_chips", answer.board.chips()},
                        {"dp", parallelism.dp},
                        {"tp", parallelism.tp()},
                        {"mesh_of_copy", {parallelism.rows, parallelism.columns}},
                        {"copies", plan.fits ? parallelism.dp : 0},
                        {"chips", parallelism.dp * parallelism.tp()},
                        {"precision", options.model.precision},
                        {"batch", options.request.users},
                        {"context", plan.context},
                        {"prompt_length", plan.prompt_length},
                        {"bytes_per_chip", bytes_by_kind(plan.dram)},
                        {"peak_bytes", plan.dram.peak},
                        {"capacity_bytes", plan.dram.capacity},
                        {"l1_bytes_per_chip", bytes_by_kind(plan.l1)},
                        {"l1_peak_bytes", plan.l1.peak},
                        {"l1_capacity_bytes", plan.l1.capacity},
                        {"largest_parameter_count", most}};
  if (plan.time) {
    report["prefill"] = prefill_json(*plan.time);
    report["decode"] = decode_json(*plan.time);
  }
  report["explanation"] = plan.fits ? nlohmann::json(nullptr) : nlohmann::json(plan.explanation);
  if (plan.map) report["memory_map"] = bringup::memory_map_json(*plan.map);
  if (!plan.fits) report["smaller_sizes_that_fit"] = answer.smaller;
  return report;
}

std::string verdict_of(const Answer& answer) {
  const auto& [parallelism, plan] = answer.plan;
  if (plan.fits)
    return fmt::format("It fits: {} {} of {} {}{}.\n", parallelism.dp, parallelism.dp == 1 ? "copy" : "copies",
                       parallelism.tp(), parallelism.tp() == 1 ? "chip" : "chips", parallelism.dp == 1 ? "" : " each");
  return fmt::format(
      "It does not fit: {}\n{}", plan.explanation,
      answer.smaller.empty() ? "" : fmt::format("Of its family these do: {}.\n", fmt::join(answer.smaller, ", ")));
}

std::string capacity_line(const BoardSpec& board) {
  std::vector<std::string> sizes;
  for (const DataType format : kFormats)
    sizes.push_back(fmt::format("{:.1f} B in {}", most_parameters(board, format) / 1e9, to_string(format)));
  return fmt::format("The DRAM of {} ({} {}) holds as many parameters as {}.\n", board.name, board.chips(),
                     board.chips() == 1 ? "chip" : "chips", fmt::join(sizes, ", "));
}

std::string table_of(const Options& options, const Answer& answer) {
  const auto& [parallelism, plan] = answer.plan;
  const auto row = [](const char* name, std::int64_t dram, std::int64_t l1) {
    return fmt::format("{:<22} {:>12.1f} {:>12.1f}\n", name, static_cast<double>(dram) / 1e6,
                       static_cast<double>(l1) / 1e6);
  };
  std::string text = fmt::format(
      "{} on {}, precision {}, {}, batch {} of each copy, context {}, prompt {}\n\n", options.config, answer.board.name,
      options.model.precision, models::to_string(parallelism), options.request.users, plan.context, plan.prompt_length);
  text += fmt::format("{:<22} {:>12} {:>12}\n", "bytes of a chip", "DRAM, MB", "L1, MB");
  text += row("weights", plan.dram.weights, plan.l1.weights);
  text += row("KV cache", plan.dram.kv_cache, plan.l1.kv_cache);
  text += row("activations, peak", plan.dram.activations, plan.l1.activations);
  if (parallelism.tp() > 1) text += row("collectives, peak", plan.dram.collectives, plan.l1.collectives);
  text += row("trace of a decode step", plan.dram.trace, plan.l1.trace);
  text += row("together, peak", plan.dram.peak, plan.l1.peak);
  text += row("capacity", plan.dram.capacity, plan.l1.capacity);
  text += "\n" + verdict_of(answer) + capacity_line(answer.board);
  if (plan.map) text += bringup::memory_map_text(*plan.map);
  if (!plan.time) return text;
  return text + (plan.fits ? "\n" : "\nWith room for it:\n") + time_text(*plan.time);
}

/// One line for each board.
std::string overview_of(const Options& options, const std::vector<Answer>& answers) {
  std::string text = fmt::format("{}, precision {}, batch {} of each copy, context {}\n\n", options.config,
                                 options.model.precision, options.request.users, answers.front().plan.memory.context);
  text += fmt::format("{:<10} {:>6} {:>5} {:>7} {:>16} {:>16} {:>18} {:>14}\n", "board", "fits", "tp", "copies",
                      "DRAM peak, MB", "of a chip's, MB", "holds in BFP8, B", "tokens/s/user");
  for (const Answer& answer : answers) {
    const auto& [parallelism, plan] = answer.plan;
    const bool timed = plan.fits && plan.time != nullptr;
    text += fmt::format("{:<10} {:>6} {:>5} {:>7} {:>16.1f} {:>16.1f} {:>18.1f} {:>14}\n", answer.board.name,
                        plan.fits ? "yes" : "no", parallelism.tp(), plan.fits ? parallelism.dp : 0,
                        static_cast<double>(plan.dram.peak) / 1e6, static_cast<double>(plan.dram.capacity) / 1e6,
                        most_parameters(answer.board, DataType::BFLOAT8_B) / 1e9,
                        timed ? fmt::format("{:.1f}", plan.time->tokens_per_s_user()) : "-");
  }
  return text + "tokens/s/user: predicted for the card, not measured; docs/performance-model.md says how well.\n";
}

/// Into the file that was named, if any.
void draw_memory_map(const Options& options, const BoardSpec& board, const bringup::MemoryMap& map) {
  if (options.memory_map_file.empty()) return;
  const std::string title = fmt::format("{} on {}, precision {}", options.config, board.name, options.model.precision);
  base::write_file_atomically(options.memory_map_file, bringup::memory_map_svg(map, title));
}

/// Classifiers: weights, activations, images/s or texts/s.
int run_classifier(const Options& options, const checkpoint::Checkpoint& checkpoint) {
  base::require(!options.model.dp && options.model.tp.empty() && options.request.layers == 0,
                "[plan] classifiers lie on each chip in whole; received --dp, --tp or --layers; leave them out");
  const bool all = options.model.board == "all";
  std::vector<BoardSpec> asked(boards().begin(), boards().end());
  if (!all) asked = {find_board(options.model.board)};
  nlohmann::json reports = nlohmann::json::array();
  std::string text;
  bool fits = false;
  ClassifierPlanRequest request{
      .precision = options.model.precision, .items = options.request.users, .memory_map = options.request.memory_map};
  if (options.request.prompt_length > 0) request.tokens = options.request.prompt_length;
  for (const BoardSpec& board : asked) {
    const ClassifierPlan plan = plan_classifier(board, checkpoint, request);
    nlohmann::json report = classifier_json(plan, board);
    report["config"] = options.config;
    report["precision"] = options.model.precision;
    reports.push_back(std::move(report));
    text += (text.empty() ? "" : "\n") + classifier_text(plan, board);
    fits = fits || plan.fits;
    if (plan.map) draw_memory_map(options, board, *plan.map);
  }
  options.json.write(all ? nlohmann::json{{"boards", reports}} : reports.front());
  if (!options.json.on_standard_output()) write_standard_output(text);
  return fits ? EXIT_OK : EXIT_NO;
}

int run(Options& options) {
  options.request.context = options.model.context;
  options.request.precision = options.model.precision;
  options.request.memory_map = options.memory_map->count() > 0;
  base::require(!options.request.memory_map || options.model.board != "all",
                "[plan] --memory-map is of one board; received --board all; name one");
  base::require(options.request.prompt_length >= 0,
                "[plan] --prompt-length must be 0 (the whole context) or more; received {}",
                options.request.prompt_length);
  const auto checkpoint = checkpoint::Checkpoint::open_config(find_config(options.config));
  if (models::classifier_family_of(checkpoint) != nullptr) return run_classifier(options, checkpoint);
  const bool all = options.model.board == "all";
  std::vector<BoardSpec> asked(boards().begin(), boards().end());
  if (!all) asked = {find_board(options.model.board)};
  std::vector<Answer> answers;
  for (const BoardSpec& board : asked) {
    Answer answer{board,
                  plan_board(board, {.dp = options.model.dp, .tp = options.model.tp}, checkpoint, options.request)};
    if (!answer.plan.memory.fits && !all) answer.smaller = smaller_sizes(options, board, checkpoint);
    answers.push_back(std::move(answer));
  }
  nlohmann::json reports = nlohmann::json::array();
  for (const Answer& answer : answers) reports.push_back(report_of(options, answer));
  if (const auto& map = answers.front().plan.memory.map) draw_memory_map(options, answers.front().board, *map);
  options.json.write(all ? nlohmann::json{{"boards", reports}} : reports.front());
  if (!options.json.on_standard_output())
    write_standard_output(all ? overview_of(options, answers) : table_of(options, answers.front()));
  const bool fits = std::ranges::any_of(answers, [](const Answer& answer) { return answer.plan.memory.fits; });
  return fits ? EXIT_OK : EXIT_NO;
}

} // namespace

Command plan_command() {
  return {.name = "plan",
          .summary = "On how many chips of a board a model fits, where the bytes go, how fast it is; reads no weights",
          .examples =
              "The model's own code runs in record mode: it loads, prefills one user, decodes one step of all\n"
              "and captures it in a trace; the time on the card is predicted from the ops. --board all asks every "
              "board that Tessera knows.\n"
              "Exit code 1 when the model does not fit.\n\n"
              "Examples:\n"
              "  tessera plan configs/llama-3.1-8b.json --board n150 --precision bfp8 --batch 32 --context 512\n"
              "  tessera plan llama-3.1-70b --board all --precision bfp8\n"
              "  tessera plan llama-3.2-1b --precision bf16 --json plan.json\n"
              "  tessera plan llama-3.2-1b --prompt-length 128 --memory-map map.svg",
          .add = [](CLI::App& app) -> std::function<int()> {
            auto options = std::make_shared<Options>();
            app.add_option("CONFIG_OR_CHECKPOINT", options->config,
                           "A config.json, a checkpoint's folder or Hugging Face name, or a name in configs/")
                ->required();
            app.add_option("--batch", options->request.users,
                           "Users of each copy that decode together, 1 to 32; images of each chip")
                ->capture_default_str();
            app.add_option("--prompt-length", options->request.prompt_length,
                           "Tokens of the prefill; 0: the whole context")
                ->capture_default_str();
            app.add_option("--layers", options->request.layers, "Only the first so many layers; 0: all")
                ->capture_default_str();
            options->memory_map =
                app.add_option(
                       "--memory-map", options->memory_map_file,
                       "What lies in DRAM and L1 over a prefill and a decode step, or a forward pass; drawn into FILE")
                    ->expected(0, 1)
                    ->type_name("[FILE.svg]");
            options->model.add(app);
            options->json.add(app, "The plan");
            return [options] { return run(*options); };
          }};
}

} // namespace tessera::cli
