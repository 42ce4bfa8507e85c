#include "apps/cli/model_options.hpp"

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdlib>

#include "apps/cli/board_file.hpp"
#include "apps/cli/interrupt.hpp"
#include "apps/cli/op_watch.hpp"
#include "apps/cli/progress.hpp"
#include "apps/cli/ranks.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/bringup/identity.hpp"
#include "tessera/kernels/kernels.hpp"

namespace tessera::cli {
namespace {

constexpr int kMaxThreads = 1024;
constexpr std::size_t kMaxPrecisionBytes = 1 << 20;

} // namespace

runtime::Numerics parse_numerics(const std::string& name) {
  if (name == "native") return runtime::Numerics::NATIVE;
  if (name == "exact") return runtime::Numerics::EXACT;
  throw base::InvalidArgument(fmt::format("[numerics] native or exact is required; received \"{}\"", name));
}

void ModelOptions::add(CLI::App& app) {
  std::vector<std::string> names;
  for (const BoardSpec& known : boards()) names.push_back(known.name);
  app.add_option("--board", board,
                 fmt::format("Virtual board: {}, or a JSON file that describes one", fmt::join(names, ", ")))
      ->capture_default_str();
  app.add_option("--numerics", numerics,
                 "native: stored formats, the host's arithmetic; exact: the card's, bit for bit")
      ->capture_default_str();
  app.add_option(
         "--precision", precision,
         "full, bf16, bfp8, bfp4, accuracy, performance, or a JSON file with formats per tensor group and layer")
      ->capture_default_str();
  app.add_option(
         "--context", context,
         "Positions of the KV cache for each user; 0: as many as the command needs, or the model's own, at most "
         "2048")
      ->capture_default_str();
  app.add_option("--dp", dp,
                 "Copies of the model, each on chips of its own, that users are spread over; default: as many as there "
                 "are chips and users for")
      ->type_name("N");
  app.add_option(
         "--tp", tp,
         "Chips that share each layer of a copy: N in a line, or RxC in a grid; default: as few in a line as it "
         "fits on")
      ->type_name("N|RxC");
  app.add_option("--weight-cache", weight_cache,
                 "Folder that keeps converted weights for the next start, or off; default: $TESSERA_CACHE, else "
                 "~/.cache/tessera");
  app.add_option("--threads", threads, "Host threads; 0: one for each hardware thread")->capture_default_str();
  app.add_flag("--pin-threads", pin_threads,
               "Bind the threads to processors; for machines whose memory belongs to processors (NUMA)");
  OpWatch::add_options(app);
}

void ModelOptions::add_trace_options(CLI::App& app) {
  app.add_flag("--no-trace", no_trace, "Run every step op by op instead of replaying a captured trace");
  app.add_option("--command-queues", command_queues, "1, or 2: transfers have a queue of their own")
      ->capture_default_str();
  app.add_option("--trace-region-size", trace_region_size,
                 "Bytes of each chip's DRAM that are kept for traces; 0: as the traces need")
      ->capture_default_str();
}

nn::WeightCacheOptions weight_cache_of(const ModelOptions& options) {
  nn::WeightCacheOptions cache{.note = [](const std::string& text) { spdlog::warn(text); }};
  if (options.weight_cache == "off") return cache;
  const auto set = [](const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? std::filesystem::path(value) : std::filesystem::path();
  };
  cache.folder = options.weight_cache;
  if (cache.folder.empty()) cache.folder = set("TESSERA_CACHE");
  if (cache.folder.empty() && !set("HOME").empty()) cache.folder = set("HOME") / ".cache" / "tessera";
  return cache;
}

std::vector<runtime::MeshDevice*> ModelOnBoard::devices() const {
  std::vector<runtime::MeshDevice*> all;
  for (std::int64_t copy = 0; copy < model->count(); ++copy) all.push_back(&model->copy(copy).device());
  return all;
}

namespace {

/// What the ranks' results depend on.
Ranks::Facts facts_of(const ModelOptions& options, const BoardSpec& board, const models::Parallelism& parallelism,
                      const checkpoint::Checkpoint& checkpoint, const models::LoadOptions& load) {
  const bool from_file = options.precision.ends_with(".json");
  return {{"program version", TESSERA_VERSION},
          {"instruction set", std::string(kernels::kernels().isa)},
          {"checkpoint", bringup::checkpoint_content(checkpoint)},
          {"--board", fmt::format("{}, a mesh of {}x{} with {} x {} bytes", board.name, board.mesh_rows,
                                  board.mesh_columns, board.arch.dram_banks, board.arch.dram_bytes_per_bank)},
          {"--dp and --tp", models::to_string(parallelism)},
          {"--numerics", options.numerics},
          {"--precision", from_file ? base::read_file(options.precision, kMaxPrecisionBytes) : options.precision},
          {"--context", std::to_string(options.context)},
          {"--command-queues", std::to_string(options.command_queues)},
          {"--no-trace", options.no_trace ? "set" : "not set"},
          {"users", std::to_string(load.max_users)},
          {"layers", std::to_string(load.layers)}};
}

} // namespace

ModelOnBoard open_model(const ModelOptions& options, const checkpoint::Checkpoint& checkpoint,
                        models::LoadOptions load) {
  base::require(0 <= options.threads && options.threads <= kMaxThreads,
                "[threads] 0 (all) to {} are possible; received {}", kMaxThreads, options.threads);
  base::require(options.context >= 0, "[context] --context must be 0 (as needed) or more; received {}",
                options.context);
  const BoardSpec whole = find_board(options.board);
  const BoardPlan plan = plan_board(whole, {.dp = options.dp, .tp = options.tp, .users = load.max_users}, checkpoint,
                                    {.precision = load.precision,
                                     .context = load.context,
                                     .prompt_length = 1, // longer ones may fit or not when they come
                                     .layers = load.layers});
  if (!plan.memory.fits) throw base::OutOfMemory(plan.memory.explanation);
  if (Ranks::several()) Ranks::require_same(facts_of(options, whole, plan.parallelism, checkpoint, load));
  ModelOnBoard opened{.parallelism = plan.parallelism};
  if (whole.chips() > 1)
    write_note(fmt::format("{}: {} of {} chips, {}", whole.name, opened.parallelism.dp * opened.parallelism.tp(),
                           whole.chips(), models::to_string(opened.parallelism)));
  opened.mesh = runtime::MeshDevice::open({.board = whole,
                                           .numerics = parse_numerics(options.numerics),
                                           .threads = options.threads > 0 ? options.threads : Ranks::default_threads(),
                                           .pin_threads = options.pin_threads,
                                           .command_queues = options.command_queues,
                                           .trace_region_size = options.trace_region_size,
                                           .communicator = Ranks::communicator()});
  Progress progress("loading layers");
  load.progress = [&](std::int64_t done, std::int64_t total) {
    InterruptGuard::check();
    progress.update(done, total);
  };
  const auto start = std::chrono::steady_clock::now();
  opened.model = models::load_copies(opened.mesh, checkpoint, load, opened.parallelism);
  for (runtime::MeshDevice* device : opened.devices()) OpWatch::attach(*device, options.board);
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  const nn::CausalLMInfo& info = opened.model->info();
  spdlog::debug("{}: {} layers, context {}, {} users, loaded in {:.2f} s", info.family, info.layers, info.context,
                info.max_users, time.count());
  return opened;
}

} // namespace tessera::cli
