#include "apps/cli/image_bench.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "apps/cli/interrupt.hpp"
#include "apps/cli/machine_limits.hpp"
#include "tessera/base/error.hpp"
#include "tessera/kernels/kernels.hpp"
#include "tessera/nn/vision/image_stream.hpp"

namespace tessera::cli {
namespace {

constexpr int kWarmUp = 3; // a run with these shapes, the capture, a replay

tensor::HostTensor random_images(const nn::ImageClassifierInfo& info, std::int64_t count) {
  tensor::HostTensor images{{count, info.channels, info.image_size, info.image_size}, {}};
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  images.data.resize(static_cast<std::size_t>(images.shape.volume()));
  for (float& value : images.data) value = normal(random);
  return images;
}

nlohmann::json measure(nn::VisionModel& model, std::int64_t batch, const ImageBenchOptions& options) {
  const nn::ImageClassifierInfo& info = model.info();
  const MachineLimits limits(model.device().queue().threads());
  const tensor::HostTensor images = random_images(info, batch);
  nn::ImageStream stream(model, batch, info.image_size, info.image_size, {.trace = options.trace});
  for (int i = 0; i < kWarmUp * stream.depth(); ++i) {
    stream.submit(images);
    stream.next();
  }
  double peak = limits.peak_flops();
  std::vector<double> seconds;
  for (std::int64_t i = 1; i < stream.depth(); ++i) stream.submit(images);
  auto last = std::chrono::steady_clock::now();
  for (std::int64_t repeat = 0; repeat < options.repeats; ++repeat) {
    InterruptGuard::check();
    stream.submit(images);
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
  return {{"batch", batch},
          {"images_per_s", count / median},
          {"min_images_per_s", count / seconds.back()},
          {"max_images_per_s", count / seconds.front()},
          {"gflop_per_s", count / median * static_cast<double>(info.flops_of_image) / 1e9},
          {"peak_gflop_per_s", peak / 1e9}};
}

} // namespace

nlohmann::json bench_images(const ImageBenchOptions& options, const ModelOptions& model, ClassifierOnBoard& opened,
                            double load_s) {
  nlohmann::json report{{"checkpoint", options.checkpoint},
                        {"family", opened.model->info().family},
                        {"precision", model.precision},
                        {"board", model.board},
                        {"dp", opened.model->copies()},
                        {"tp", opened.model->tensor_parallel()},
                        {"threads", opened.mesh->queue().threads()},
                        {"isa", kernels::kernels().isa},
                        {"image_size", opened.model->info().image_size},
                        {"images", nlohmann::json::array()}};
  const PeakMemory peak_memory;
  for (const std::int64_t batch : options.batch) report["images"].push_back(measure(*opened.model, batch, options));
  report["load_s"] = load_s;
  report["peak_bytes"] = peak_memory.bytes();
  return report;
}

std::string image_bench_table(const nlohmann::json& report) {
  std::string text = fmt::format("{} in {}, {} threads, {}, images of {}x{} (all figures measured on this host)\n\n",
                                 report["checkpoint"].get<std::string>(), report["precision"].get<std::string>(),
                                 report["threads"].get<int>(), report["isa"].get<std::string>(),
                                 report["image_size"].get<int>(), report["image_size"].get<int>());
  for (const auto& row : report["images"]) {
    text += fmt::format("batch {:>3}: {:>8.1f} images/s [{:.1f} - {:.1f}], {:.0f} GFLOP/s of {:.0f} possible\n",
                        row["batch"].get<int>(), row["images_per_s"].get<double>(),
                        row["min_images_per_s"].get<double>(), row["max_images_per_s"].get<double>(),
                        row["gflop_per_s"].get<double>(), row["peak_gflop_per_s"].get<double>());
  }
  return text + fmt::format("load {:.2f} s, peak memory {:.0f} MB\n", report["load_s"].get<double>(),
                            report["peak_bytes"].get<double>() / 1e6);
}

} // namespace tessera::cli
