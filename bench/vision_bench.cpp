// Images per second of ResNet-50 and ViT-B/16 at 224x224, random weights, beside PyTorch's C++ library in the same
// process: rounds of both take turns, and the best round counts for each.
//
// usage: vision_bench [--threads N] [--rounds N] [--model resnet-50|vit-base] [--batch N] [--precision NAME]
// [--no-peer]
//        [--cpu-time]

#include <fmt/format.h>

#include <chrono>
#include <ctime>
#include <functional>
#include <memory>
#include <random>
#include <string>

#include "bench/reference/vision_peer.hpp"
#include "tessera/base/error.hpp"
#include "tessera/models/classifier.hpp"

namespace {

using namespace tessera;

struct Options {
  int threads = 2;
  int rounds = 8;
  std::string model = "resnet-50";
  std::int64_t batch = 1;
  std::string precision = "bf16";
  bool peer = true;
  bool cpu_time = false;
};

/// Of the clock on the wall, or of the processor: on a machine that others use too, with one thread.
double seconds_of(const std::function<void()>& run, bool cpu_time) {
  if (cpu_time) {
    const std::clock_t begin = std::clock();
    run();
    return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  }
  const auto begin = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--no-peer" || name == "--cpu-time") {
      (name == "--no-peer" ? options.peer : options.cpu_time) = name == "--cpu-time";
      continue;
    }
    base::require(i + 1 < argc, "[vision_bench] {} needs a value", name);
    const std::string value = argv[++i];
    if (name == "--threads") options.threads = std::stoi(value);
    if (name == "--rounds") options.rounds = std::stoi(value);
    if (name == "--model") options.model = value;
    if (name == "--batch") options.batch = std::stoll(value);
    if (name == "--precision") options.precision = value;
  }
  return options;
}

void run(const Options& options) {
  const auto checkpoint = checkpoint::Checkpoint::open_config("configs/" + options.model + ".json");
  const auto device = runtime::MeshDevice::open({.board = board("n150"), .threads = options.threads});
  const auto model = models::load_classifier(device, checkpoint, {.precision = options.precision, .random_seed = 1});
  const std::int64_t size = model->info().image_size;
  tensor::HostTensor pixels{{options.batch, 3, size, size}, {}};
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  pixels.data.resize(static_cast<std::size_t>(pixels.shape.volume()));
  for (float& value : pixels.data) value = normal(random);
  std::unique_ptr<bench::VisionPeer> peer;
  if (options.peer) peer = bench::make_vision_peer(options.model, options.threads);

  double ours = 1e9;
  double theirs = 1e9;
  model->forward(pixels, nullptr);
  if (peer) peer->run(pixels);
  for (int round = 0; round < options.rounds; ++round) {
    for (int i = 0; i < 4; ++i)
      ours = std::min(ours, seconds_of([&] { model->forward(pixels, nullptr); }, options.cpu_time));
    for (int i = 0; i < 4 && peer; ++i)
      theirs = std::min(theirs, seconds_of([&] { peer->run(pixels); }, options.cpu_time));
  }
  const auto rate = [&](double seconds) { return static_cast<double>(options.batch) / seconds; };
  fmt::print("{} batch {} {} threads {}: tessera {:.1f} images/s ({:.0f} GFLOP/s)", options.model, options.batch,
             options.precision, options.threads, rate(ours),
             rate(ours) * static_cast<double>(model->info().flops_of_item) * 1e-9);
  if (peer) fmt::print(", libtorch bf16 {:.1f} images/s, ratio {:.2f}", rate(theirs), theirs / ours);
  fmt::print("\n");
}

} // namespace

int main(int argc, char** argv) {
  try {
    run(parse(argc, argv));
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
