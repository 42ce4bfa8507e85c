#include "apps/cli/classifier_bench.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "apps/cli/classifier_inputs.hpp"
#include "apps/cli/interrupt.hpp"
#include "apps/cli/machine_limits.hpp"
#include "tessera/kernels/kernels.hpp"
#include "tessera/nn/classifier/batch_stream.hpp"

namespace tessera::cli {
namespace {

constexpr int kWarmUp = 3; // a run with these shapes, the capture, a replay

nlohmann::json measure(nn::ClassifierModel& model, std::int64_t batch, const ClassifierBenchOptions& options) {
  const nn::ClassifierInfo& info = model.info();
  const MachineLimits limits(model.device().queue().threads());
  const bool images = info.input == nn::ClassifierInput::IMAGES;
  const std::int64_t tokens = images ? 0 : std::min(options.text_tokens, info.max_positions);
  const tensor::HostTensor items = random_classifier_inputs(info, batch, tokens, false);
  nn::BatchStream stream(model, items.shape, {.trace = options.trace});
  for (int i = 0; i < kWarmUp * stream.depth(); ++i) {
    stream.submit(items);
    stream.next();
  }
  double peak = limits.peak_flops();
  std::vector<double> seconds;
  for (std::int64_t i = 1; i < stream.depth(); ++i) stream.submit(items);
  auto last = std::chrono::steady_clock::now();
  for (std::int64_t repeat = 0; repeat < options.repeats; ++repeat) {
    InterruptGuard::check();
    stream.submit(items);
    stream.next();
    const auto now = std::chrono::steady_clock::now();
    seconds.push_back(std::chrono::duration<double>(now - last).count());
    last = now;
  }
  for (std::int64_t i = 1; i < stream.depth(); ++i) stream.next();
  peak = std::max(peak, limits.peak_flops());
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  const auto count = static_cast<double>(batch);
  const std::string rate = images ? "images_per_s" : "sequences_per_s";
  nlohmann::json row{{"batch", batch},
                     {rate, count / median},
                     {"min_" + rate, count / seconds.back()},
                     {"max_" + rate, count / seconds.front()},
                     {"gflop_per_s", count / median * static_cast<double>(info.flops(tokens)) / 1e9},
                     {"peak_gflop_per_s", peak / 1e9}};
  if (!images) {
    row["tokens"] = tokens;
    row["tokens_per_s"] = count / median * static_cast<double>(tokens);
  }
  return row;
}

std::string row_text(const nlohmann::json& row) {
  const bool images = row.contains("images_per_s");
  const std::string rate = images ? "images_per_s" : "sequences_per_s";
  std::string text =
      fmt::format("batch {:>3}: {:>8.1f} {}/s [{:.1f} - {:.1f}], ", row["batch"].get<int>(), row[rate].get<double>(),
                  images ? "images" : "sequences", row["min_" + rate].get<double>(), row["max_" + rate].get<double>());
  if (!images)
    text += fmt::format("{:.0f} tokens/s of {} each, ", row["tokens_per_s"].get<double>(), row["tokens"].get<int>());
  return text + fmt::format("{:.0f} GFLOP/s of {:.0f} possible\n", row["gflop_per_s"].get<double>(),
                            row["peak_gflop_per_s"].get<double>());
}

} // namespace

nlohmann::json bench_classifier(const ClassifierBenchOptions& options, const ModelOptions& model,
                                ClassifierOnBoard& opened, double load_s) {
  const nn::ClassifierInfo& info = opened.model->info();
  const bool images = info.input == nn::ClassifierInput::IMAGES;
  const char* const rows = images ? "images" : "texts";
  nlohmann::json report{{"checkpoint", options.checkpoint},
                        {"family", info.family},
                        {"precision", model.precision},
                        {"board", model.board},
                        {"dp", opened.model->copies()},
                        {"tp", opened.model->tensor_parallel()},
                        {"threads", opened.mesh->queue().threads()},
                        {"isa", kernels::kernels().isa},
                        {rows, nlohmann::json::array()}};
  if (images) report["image_size"] = info.image_size;
  const PeakMemory peak_memory;
  for (const std::int64_t batch : options.batch) report[rows].push_back(measure(*opened.model, batch, options));
  report["load_s"] = load_s;
  report["peak_bytes"] = peak_memory.bytes();
  return report;
}

std::string classifier_bench_table(const nlohmann::json& report) {
  const bool images = report.contains("images");
  std::string text = fmt::format("{} in {}, {} threads, {}{} (all figures measured on this host)\n\n",
                                 report["checkpoint"].get<std::string>(), report["precision"].get<std::string>(),
                                 report["threads"].get<int>(), report["isa"].get<std::string>(),
                                 images ? fmt::format(", images of {0}x{0}", report["image_size"].get<int>()) : "");
  for (const auto& row : report[images ? "images" : "texts"]) text += row_text(row);
  return text + fmt::format("load {:.2f} s, peak memory {:.0f} MB\n", report["load_s"].get<double>(),
                            report["peak_bytes"].get<double>() / 1e6);
}

} // namespace tessera::cli
