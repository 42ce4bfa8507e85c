#include "apps/cli/model_options.hpp"

#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <cstdlib>

#include "apps/cli/interrupt.hpp"
#include "apps/cli/progress.hpp"
#include "tessera/base/error.hpp"

namespace tessera::cli {
namespace {

constexpr int kMaxThreads = 1024;

runtime::Numerics parse_numerics(const std::string& name) {
  if (name == "native") return runtime::Numerics::NATIVE;
  if (name == "exact") return runtime::Numerics::EXACT;
  throw base::InvalidArgument(fmt::format("[numerics] native or exact is required; received \"{}\"", name));
}

} // namespace

void ModelOptions::add(CLI::App& app) {
  std::vector<std::string> names;
  for (const BoardSpec& known : boards()) names.push_back(known.name);
  app.add_option("--board", board, fmt::format("Virtual board: {}", fmt::join(names, ", ")))->capture_default_str();
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
  app.add_option("--dp", dp, "Chips that each run the whole model on a part of the users")->capture_default_str();
  app.add_option("--tp", tp, "Chips that share each layer")->capture_default_str();
  app.add_option("--weight-cache", weight_cache,
                 "Folder that keeps converted weights for the next start, or off; default: $TESSERA_CACHE, else "
                 "~/.cache/tessera");
  app.add_option("--threads", threads, "Host threads; 0: one for each hardware thread")->capture_default_str();
  app.add_flag("--pin-threads", pin_threads,
               "Bind the threads to processors; for machines whose memory belongs to processors (NUMA)");
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

BoardSpec one_chip_of(const ModelOptions& options) {
  base::require(options.dp >= 1 && options.tp >= 1, "[mesh] --dp and --tp must be at least 1; received --dp {} --tp {}",
                options.dp, options.tp);
  base::require<base::Unsupported>(options.dp == 1 && options.tp == 1,
                                   "[mesh] one chip is what is built: --dp 1 --tp 1; received --dp {} --tp {}; run the "
                                   "model on one chip, or plan a smaller --precision",
                                   options.dp, options.tp);
  base::require(options.context >= 0, "[context] --context must be 0 (as needed) or more; received {}",
                options.context);
  BoardSpec chip = board(options.board);
  if (chip.chips() > 1) {
    spdlog::debug("one of the {} chips of {} is used", chip.chips(), chip.name);
    chip.mesh_rows = chip.mesh_columns = 1;
  }
  return chip;
}

std::shared_ptr<runtime::MeshDevice> open_device(const ModelOptions& options, runtime::RunMode mode) {
  base::require(0 <= options.threads && options.threads <= kMaxThreads,
                "[threads] 0 (all) to {} are possible; received {}", kMaxThreads, options.threads);
  return runtime::MeshDevice::open({.board = one_chip_of(options),
                                    .numerics = parse_numerics(options.numerics),
                                    .mode = mode,
                                    .threads = options.threads,
                                    .pin_threads = options.pin_threads,
                                    .command_queues = options.command_queues,
                                    .trace_region_size = options.trace_region_size});
}

std::unique_ptr<nn::DecoderModel> load_model(std::shared_ptr<runtime::MeshDevice> device,
                                             const checkpoint::Checkpoint& checkpoint, models::LoadOptions options) {
  Progress progress("loading layers");
  options.progress = [&](std::int64_t done, std::int64_t total) {
    InterruptGuard::check();
    progress.update(done, total);
  };
  const auto start = std::chrono::steady_clock::now();
  auto model = models::load(std::move(device), checkpoint, options);
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  const nn::CausalLMInfo& info = model->info();
  spdlog::debug("{}: {} layers, context {}, {} users, loaded in {:.2f} s", info.family, info.layers, info.context,
                info.max_users, time.count());
  return model;
}

} // namespace tessera::cli
