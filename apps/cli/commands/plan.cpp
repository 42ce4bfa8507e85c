#include <fmt/format.h>

#include <memory>

#include "apps/cli/command.hpp"
#include "apps/cli/config_path.hpp"
#include "apps/cli/exit_code.hpp"
#include "apps/cli/json_output.hpp"
#include "apps/cli/memory_plan.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/base/error.hpp"

namespace tessera::cli {
namespace {

struct Options {
  ModelOptions model;
  std::string config;
  PlanRequest request{.users = 1};
  JsonOutput json;
};

nlohmann::json bytes_by_kind(const MemoryUse& use) {
  return {{"weights", use.weights}, {"kv_cache", use.kv_cache}, {"activations", use.activations}, {"trace", use.trace}};
}

nlohmann::json report_of(const Options& options, const MemoryPlan& plan) {
  nlohmann::json report{{"fits", plan.fits},
                        {"config", options.config},
                        {"family", plan.family},
                        {"board", board(options.model.board).name},
                        {"chips", 1},
                        {"precision", options.model.precision},
                        {"batch", options.request.users},
                        {"context", plan.context},
                        {"prompt_length", plan.prompt_length},
                        {"bytes_per_chip", bytes_by_kind(plan.dram)},
                        {"peak_bytes", plan.dram.peak},
                        {"capacity_bytes", plan.dram.capacity},
                        {"l1_bytes_per_chip", bytes_by_kind(plan.l1)},
                        {"l1_peak_bytes", plan.l1.peak},
                        {"l1_capacity_bytes", plan.l1.capacity}};
  report["explanation"] = plan.fits ? nlohmann::json(nullptr) : nlohmann::json(plan.explanation);
  return report;
}

std::string table_of(const Options& options, const MemoryPlan& plan) {
  const auto row = [](const char* name, std::int64_t dram, std::int64_t l1) {
    return fmt::format("{:<22} {:>12.1f} {:>12.1f}\n", name, static_cast<double>(dram) / 1e6,
                       static_cast<double>(l1) / 1e6);
  };
  std::string text = fmt::format("{} on one chip of {}, precision {}, batch {}, context {}, prompt {}\n\n",
                                 options.config, board(options.model.board).name, options.model.precision,
                                 options.request.users, plan.context, plan.prompt_length);
  text += fmt::format("{:<22} {:>12} {:>12}\n", "bytes of a chip", "DRAM, MB", "L1, MB");
  text += row("weights", plan.dram.weights, plan.l1.weights);
  text += row("KV cache", plan.dram.kv_cache, plan.l1.kv_cache);
  text += row("activations, peak", plan.dram.activations, plan.l1.activations);
  text += row("trace of a decode step", plan.dram.trace, plan.l1.trace);
  text += row("together, peak", plan.dram.peak, plan.l1.peak);
  text += row("capacity", plan.dram.capacity, plan.l1.capacity);
  return text + (plan.fits ? "\nIt fits.\n" : fmt::format("\nIt does not fit: {}\n", plan.explanation));
}

int run(Options& options) {
  options.request.context = options.model.context;
  base::require(options.request.prompt_length >= 0,
                "[plan] --prompt-length must be 0 (the whole context) or more; received {}",
                options.request.prompt_length);
  const auto checkpoint = checkpoint::Checkpoint::open_config(find_config(options.config));
  const MemoryPlan plan = plan_memory(options.model, checkpoint, options.request);
  options.json.write(report_of(options, plan));
  if (!options.json.on_standard_output()) write_standard_output(table_of(options, plan));
  return plan.fits ? EXIT_OK : EXIT_NO;
}

} // namespace

Command plan_command() {
  return {
      .name = "plan",
      .summary = "Whether a model fits a card, and where the bytes go; reads no weights",
      .examples =
          "The model's own code runs in record mode: it loads, prefills one user, decodes one step of all\n"
          "and captures it in a trace.\n"
          "Exit code 1 when the model does not fit.\n\n"
          "Examples:\n"
          "  tessera plan configs/llama-3.1-8b.json --board n150 --precision bfp8 --batch 32 --context 512\n"
          "  tessera plan llama-3.2-1b --precision bf16 --json plan.json",
      .add = [](CLI::App& app) -> std::function<int()> {
        auto options = std::make_shared<Options>();
        app.add_option("CONFIG_OR_CHECKPOINT", options->config,
                       "A config.json, a checkpoint's folder or Hugging Face name, or a name in configs/")
            ->required();
        app.add_option("--batch", options->request.users, "Users that decode together, 1 to 32")->capture_default_str();
        app.add_option("--prompt-length", options->request.prompt_length, "Tokens of the prefill; 0: the whole context")
            ->capture_default_str();
        app.add_option("--layers", options->request.layers, "Only the first so many layers; 0: all")
            ->capture_default_str();
        options->model.add(app);
        options->json.add(app, "The plan");
        return [options] { return run(*options); };
      }};
}

} // namespace tessera::cli
