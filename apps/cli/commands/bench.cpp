#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <limits>
#include <memory>
#include <numeric>

#include "apps/cli/classifier.hpp"
#include "apps/cli/classifier_bench.hpp"
#include "apps/cli/command.hpp"
#include "apps/cli/config_path.hpp"
#include "apps/cli/exit_code.hpp"
#include "apps/cli/interrupt.hpp"
#include "apps/cli/json_output.hpp"
#include "apps/cli/machine_limits.hpp"
#include "apps/cli/model_options.hpp"
#include "apps/cli/profile_option.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/base/error.hpp"
#include "tessera/generate/generator.hpp"
#include "tessera/kernels/kernels.hpp"
#include "tessera/profile/report.hpp"

namespace tessera::cli {
namespace {

constexpr std::int64_t kWarmUpSteps = 3;

struct Options {
  ModelOptions model;
  std::string checkpoint;
  bool random_weights = false;
  std::uint64_t seed = 1;
  std::vector<std::int64_t> prefill{512};
  std::int64_t decode = 64;
  std::vector<std::int64_t> batch{1, 8, 32};
  std::int64_t prompt = 128;
  std::int64_t repeats = 5;
  bool ops = false;
  ProfileOption profile;
  JsonOutput json;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Spread {
  double median = 0.0;
  double min = 0.0;
  double max = 0.0;
};

Spread spread_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {values[values.size() / 2], values.front(), values.back()};
}

/// The matmul work of a pass, of all chips, and what each of its ops took.
class WorkCounter : public runtime::QueueObserver {
 public:
  explicit WorkCounter(std::vector<runtime::MeshDevice*> devices) : devices_(std::move(devices)) {
    for (runtime::MeshDevice* device : devices_) {
      device->add_observer(*this);
      profiler_.attach(*device);
    }
  }
  ~WorkCounter() override {
    for (runtime::MeshDevice* device : devices_) {
      profiler_.detach(*device);
      device->remove_observer(*this);
    }
  }
  WorkCounter(const WorkCounter&) = delete;
  WorkCounter& operator=(const WorkCounter&) = delete;

  void after(runtime::MeshDevice& device, const OpRecord& record, const runtime::ProgramRun&) override {
    if (record.name != "linear" && record.name != "grouped_linear") return;
    std::int64_t read = std::numeric_limits<std::int64_t>::max();
    for (const auto& [name, value] : record.attributes) {
      if (name == "experts_read") read = std::get<std::int64_t>(value);
    }
    for (const OperandRecord& input : record.inputs) {
      if (input.name == "weight" && read-- > 0) weight_bytes_ += input.spec.size_bytes() * device.chips();
    }
    linear_flops_ += record.work.matmul_flops * device.chips();
  }

  std::int64_t weight_bytes() const { return weight_bytes_; }
  std::int64_t linear_flops() const { return linear_flops_; }
  /// What bounds the ops is judged by the machine's limits.
  nlohmann::json ops(double read_bytes_per_s, double flop_per_s) const {
    profile::Profile profile = profiler_.profile();
    profile.origin.threads = devices_.front()->queue().threads();
    profile.origin.read_bytes_per_s = read_bytes_per_s;
    profile.origin.flop_per_s = flop_per_s;
    profile.origin.cache_bytes = MachineLimits::cache_bytes();
    return profile::to_json(profile::make_report(profile).ops);
  }

 private:
  std::vector<runtime::MeshDevice*> devices_;
  profile::Profiler profiler_;
  std::atomic<std::int64_t> weight_bytes_ = 0; // every device calls from its own thread
  std::atomic<std::int64_t> linear_flops_ = 0;
};

std::vector<std::int32_t> random_ids(std::int64_t count, std::int64_t vocab_size, std::uint64_t seed) {
  std::vector<std::int32_t> ids(static_cast<std::size_t>(count));
  std::uint64_t state = seed;
  for (std::int32_t& id : ids) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    id = static_cast<std::int32_t>((state >> 33) % static_cast<std::uint64_t>(vocab_size));
  }
  return ids;
}

/// A model under measurement, through the generator that `generate` uses.
class Bench {
 public:
  Bench(const Options& options, const ModelOnBoard& opened, ProfileRecording& recording)
      : options_(options),
        model_(*opened.model),
        devices_(opened.devices()),
        recording_(recording),
        limits_(devices_.front()->queue().threads()) {}

  nlohmann::json prefill(std::int64_t tokens) {
    run_prefill(tokens); // warms caches and scratch memory up
    const double peak_before = limits_.peak_flops();
    std::vector<double> seconds;
    recording_.begin_stage(fmt::format("prefill {}", tokens));
    for (std::int64_t repeat = 0; repeat < options_.repeats; ++repeat) seconds.push_back(run_prefill(tokens));
    recording_.end_stage();
    const WorkCounter counter(devices_);
    run_prefill(tokens);
    const Spread time = spread_of(seconds);
    const double count = static_cast<double>(tokens);
    const double flops = static_cast<double>(counter.linear_flops());
    const double peak = std::max(peak_before, limits_.peak_flops());
    nlohmann::json row{{"tokens", tokens},
                       {"tokens_per_s", count / time.median},
                       {"min_tokens_per_s", count / time.max},
                       {"max_tokens_per_s", count / time.min},
                       {"matmul_flops", flops},
                       {"gflop_per_s", flops / time.median / 1e9},
                       {"peak_gflop_per_s", peak / 1e9}};
    if (options_.ops) row["ops"] = counter.ops(measure_reads(), peak);
    return row;
  }

  nlohmann::json decode(std::int64_t users) {
    generate::Generator generator(model_, {.max_users = users, .cancelled = &InterruptGuard::flag()});
    // Prefills, steps that warm up and are captured, one that the machine's measurement waited for, the steps measured,
    // one more whose ops are counted, and the one that the generator begins ahead.
    const std::int64_t new_tokens = 1 + kWarmUpSteps + options_.decode + 3;
    for (std::int64_t user = 0; user < users; ++user) {
      generator.submit({.prompt_ids = random_ids(options_.prompt, model_.info().vocab_size,
                                                 options_.seed + static_cast<std::uint64_t>(user)),
                        .max_tokens = new_tokens});
    }
    for (std::int64_t step = 0; step < users + kWarmUpSteps; ++step) generator.step();
    const double read_before = measure_reads();
    generator.step();
    std::vector<double> seconds;
    recording_.begin_stage(fmt::format("decode batch {}", users));
    for (std::int64_t step = 0; step < options_.decode; ++step) {
      InterruptGuard::check();
      const auto start = std::chrono::steady_clock::now();
      generator.step();
      seconds.push_back(seconds_since(start));
    }
    recording_.end_stage();
    const double read = (read_before + measure_reads()) / 2;
    const WorkCounter counter(devices_);
    generator.step();
    synchronize(); // a step may be under way when its token is not asked for yet
    const Spread time = spread_of(seconds);
    const double count = static_cast<double>(users);
    const double bytes = static_cast<double>(counter.weight_bytes());
    read_.push_back(read);
    nlohmann::json row{{"batch", users},
                       {"tokens_per_s", count / time.median},
                       {"min_tokens_per_s", count / time.max},
                       {"max_tokens_per_s", count / time.min},
                       {"tokens_per_s_user", 1.0 / time.median},
                       {"weight_bytes", bytes},
                       {"weight_gb_per_s", bytes / time.median / 1e9},
                       {"read_gb_per_s", read / 1e9},
                       {"gflop_per_s", static_cast<double>(counter.linear_flops()) / time.median / 1e9}};
    if (options_.ops) row["ops"] = counter.ops(read, limits_.peak_flops());
    return row;
  }

  double read_bytes_per_s() { return read_.empty() ? measure_reads() : spread_of(read_).median; }
  std::int64_t peak_bytes() const { return peak_memory_.bytes(); }

 private:
  void synchronize() {
    for (runtime::MeshDevice* device : devices_) device->synchronize();
  }
  double measure_reads() {
    synchronize(); // of the step that the generator began ahead
    return peak_memory_.without([&] { return limits_.read_bytes_per_s(); });
  }
  double run_prefill(std::int64_t tokens) {
    InterruptGuard::check();
    generate::Generator generator(model_, {.max_users = 1, .cancelled = &InterruptGuard::flag()});
    generator.submit({.prompt_ids = random_ids(tokens, model_.info().vocab_size, options_.seed), .max_tokens = 1});
    const auto start = std::chrono::steady_clock::now();
    generator.step();
    return seconds_since(start);
  }

  const Options& options_;
  nn::CausalLM& model_;
  std::vector<runtime::MeshDevice*> devices_;
  ProfileRecording& recording_;
  MachineLimits limits_;
  PeakMemory peak_memory_;
  std::vector<double> read_;
};

std::string ops_table(const nlohmann::json& row) {
  return row.contains("ops") ? profile::op_table(row["ops"], 4) : "";
}

std::string table_of(const nlohmann::json& report) {
  std::string text = fmt::format("{} in {}, {} threads, {} (all figures measured on this host)\n\n",
                                 report["checkpoint"].get<std::string>(), report["precision"].get<std::string>(),
                                 report["threads"].get<int>(), report["isa"].get<std::string>());
  for (const auto& row : report["prefill"]) {
    text += fmt::format(
        "prefill {:>5} tokens: {:>8.1f} tokens/s [{:.1f} - {:.1f}], {:.0f} GFLOP/s in matmuls of {:.0f} possible\n",
        row["tokens"].get<int>(), row["tokens_per_s"].get<double>(), row["min_tokens_per_s"].get<double>(),
        row["max_tokens_per_s"].get<double>(), row["gflop_per_s"].get<double>(), row["peak_gflop_per_s"].get<double>());
    text += ops_table(row);
  }
  for (const auto& row : report["decode"]) {
    text += fmt::format(
        "decode, batch {:>3}:     {:>8.1f} tokens/s [{:.1f} - {:.1f}], {:.2f} tokens/s/user, {:.1f} GB/s of weights; "
        "memory reads {:.1f} GB/s\n",
        row["batch"].get<int>(), row["tokens_per_s"].get<double>(), row["min_tokens_per_s"].get<double>(),
        row["max_tokens_per_s"].get<double>(), row["tokens_per_s_user"].get<double>(),
        row["weight_gb_per_s"].get<double>(), row["read_gb_per_s"].get<double>());
    text += ops_table(row);
  }
  return text + fmt::format("load {:.2f} s, peak memory {:.0f} MB\n", report["load_s"].get<double>(),
                            report["peak_bytes"].get<double>() / 1e6);
}

void check(const Options& options) {
  const auto positive = [](const char* name, std::int64_t value) {
    base::require(value > 0, "[bench] {} must be 1 or more; received {}", name, value);
  };
  for (const std::int64_t tokens : options.prefill) positive("--prefill", tokens);
  for (const std::int64_t users : options.batch) positive("--batch", users);
  base::require(!options.prefill.empty() || !options.batch.empty(),
                "[bench] something to measure is required; received --prefill 0 and --batch 0");
  positive("--decode", options.decode);
  positive("--prompt", options.prompt);
  positive("--repeats", options.repeats);
}

int run_classifier(const Options& options, const checkpoint::Checkpoint& checkpoint) {
  base::require(!options.batch.empty(), "[bench] a classifier is measured in batches; received --batch 0");
  const auto start = std::chrono::steady_clock::now();
  ClassifierOnBoard opened =
      open_classifier(options.model, checkpoint, *std::max_element(options.batch.begin(), options.batch.end()),
                      options.random_weights ? std::optional(options.seed) : std::nullopt);
  ProfileRecording recording(options.profile, {opened.mesh.get()}, options.model, options.checkpoint);
  recording.begin_stage("batches");
  const nlohmann::json report = bench_classifier({.checkpoint = options.checkpoint,
                                                  .batch = options.batch,
                                                  .text_tokens = options.prompt,
                                                  .repeats = options.repeats,
                                                  .trace = !options.model.no_trace},
                                                 options.model, opened, seconds_since(start));
  recording.end_stage();
  options.json.write(report);
  if (!options.json.on_standard_output()) write_standard_output(classifier_bench_table(report));
  recording.write();
  return EXIT_OK;
}

int run(Options options) {
  if (options.prefill == std::vector<std::int64_t>{0}) options.prefill.clear();
  if (options.batch == std::vector<std::int64_t>{0}) options.batch.clear();
  check(options);
  const InterruptGuard interrupt;
  const auto checkpoint = options.random_weights ? checkpoint::Checkpoint::open_config(find_config(options.checkpoint))
                                                 : models::open_classifier_checkpoint(options.checkpoint);
  if (is_classifier(checkpoint)) return run_classifier(options, checkpoint);
  const std::int64_t longest = std::accumulate(options.prefill.begin(), options.prefill.end(),
                                               options.prompt + options.decode + kWarmUpSteps + 4,
                                               [](std::int64_t a, std::int64_t b) { return std::max(a, b + 1); });
  const std::int64_t users = options.batch.empty() ? 1 : *std::max_element(options.batch.begin(), options.batch.end());
  models::LoadOptions load{.precision = options.model.precision,
                           .context = options.model.context > 0 ? options.model.context : longest,
                           .max_users = users,
                           .execution = {.trace = !options.model.no_trace},
                           .weight_cache = weight_cache_of(options.model)};
  if (options.random_weights) load.random_seed = options.seed;
  const auto start = std::chrono::steady_clock::now();
  const ModelOnBoard opened = open_model(options.model, checkpoint, load);
  const double load_s = seconds_since(start);

  ProfileRecording recording(options.profile, opened.devices(), options.model, options.checkpoint);
  Bench bench(options, opened, recording);
  nlohmann::json report{{"checkpoint", options.checkpoint}, {"precision", options.model.precision},
                        {"board", options.model.board},     {"dp", opened.parallelism.dp},
                        {"tp", opened.parallelism.tp()},    {"threads", opened.mesh->queue().threads()},
                        {"isa", kernels::kernels().isa},    {"prefill", nlohmann::json::array()},
                        {"decode", nlohmann::json::array()}};
  for (const std::int64_t tokens : options.prefill) report["prefill"].push_back(bench.prefill(tokens));
  for (const std::int64_t batch : options.batch) report["decode"].push_back(bench.decode(batch));
  report["read_gb_per_s"] = bench.read_bytes_per_s() / 1e9;
  report["load_s"] = load_s;
  report["peak_bytes"] = bench.peak_bytes();
  options.json.write(report);
  if (!options.json.on_standard_output()) write_standard_output(table_of(report));
  recording.write();
  return EXIT_OK;
}

void add_options(CLI::App& app, Options& options) {
  app.add_option("CHECKPOINT_OR_CONFIG", options.checkpoint,
                 "A checkpoint; with --random-weights a config.json or a name in configs/")
      ->required();
  app.add_flag("--random-weights", options.random_weights, "Random weights in place of the checkpoint's");
  app.add_option("--seed", options.seed, "Seed of random weights and prompts")->capture_default_str();
  app.add_option("--prefill", options.prefill, "Prompt lengths to measure, separated by commas; 0: none")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--decode", options.decode, "Decode steps to measure")->capture_default_str();
  app.add_option("--batch", options.batch,
                 "Users that decode together, of all copies, separated by commas; 0: none. Images or texts of a batch")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--prompt", options.prompt, "Tokens of each user's prompt before decode; of each text")
      ->capture_default_str();
  app.add_option("--repeats", options.repeats, "Runs of each prefill")->capture_default_str();
  app.add_flag("--ops", options.ops, "What one pass of each spends its time on, op by op, and what bounds it");
  options.model.add(app);
  options.model.add_trace_options(app);
  options.profile.add(app);
  options.json.add(app, "All figures");
}

} // namespace

Command bench_command() {
  return {
      .name = "bench",
      .summary = "Measures prefill, decode and loading on this host, beside what the machine gives",
      .examples =
          "Medians, with the slowest and the fastest in brackets; decode counts each step. Tokens/s count all "
          "users. Of a classifier: images/s, or sequences/s and tokens/s, of batches.\n\n"
          "Examples:\n"
          "  tessera bench demo\n"
          "  tessera bench llama-3.2-1b --random-weights --precision bfp8 --prefill 512 --decode 128 --batch 1,8,32\n"
          "  tessera bench resnet-50 --random-weights --precision bf16 --batch 1,8\n"
          "  tessera bench bert-base-uncased --random-weights --precision bf16 --batch 1,8 --prompt 128\n"
          "  tessera bench demo --ops --json bench.json",
      .add = [](CLI::App& app) -> std::function<int()> {
        auto options = std::make_shared<Options>();
        add_options(app, *options);
        return [options] { return run(*options); };
      }};
}

} // namespace tessera::cli
