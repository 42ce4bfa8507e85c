// tessera-train-vision: trains a small ResNet on pictures that it draws and writes it as a Hugging Face checkpoint.

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdio>

#include "apps/train/vision/shape_export.hpp"
#include "apps/train/vision/shape_training.hpp"
#include "apps/train/vision/shapes.hpp"
#include "tessera/reference/threads.hpp"

namespace {

using namespace tessera;

std::atomic<bool> g_stop{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set by a signal handler");

struct Options {
  std::string output;
  std::uint64_t seed = 1;
  int threads = 1;
  std::int64_t held_out = 256;
  train::ShapeClassifierOptions network;
  train::ShapeTrainingOptions training;
};

void add_options(CLI::App& app, Options& options) {
  app.add_option("--output", options.output, "Folder for the checkpoint; made when absent")->required();
  app.add_option("--seed", options.seed, "Seed of the first weights")->capture_default_str();
  app.add_option("--threads", options.threads, "Threads")->capture_default_str()->check(CLI::Range(1, 1024));
  app.add_option("--held-out", options.held_out, "Pictures of heldout.safetensors")
      ->capture_default_str()
      ->check(CLI::Range(1, 65536));

  train::ShapeClassifierOptions& network = options.network;
  app.add_option("--side", network.side, "Side of the pictures, pixels")
      ->capture_default_str()
      ->check(CLI::Range(8, 1024));
  app.add_option("--stem", network.stem, "Channels of the first convolution")
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  app.add_option("--widths", network.widths, "Channels of the stages, separated by commas")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::Range(1, 4096));
  app.add_option("--depth", network.depth, "Blocks of a stage")->capture_default_str()->check(CLI::Range(1, 64));

  train::ShapeTrainingOptions& training = options.training;
  app.add_option("--steps", training.steps, "Optimiser steps")->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--batch", training.batch, "Pictures per step")->capture_default_str()->check(CLI::Range(2, 65536));
  app.add_option("--warmup", training.warmup_steps, "Steps until the full learning rate")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--eval-every", training.evaluate_every, "Steps between evaluations")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--lr", training.learning_rate, "Peak learning rate")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--weight-decay", training.weight_decay, "AdamW's decay of filters and matrices")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
}

void run(const Options& options) {
  reference::set_torch_threads(options.threads);
  at::manual_seed(options.seed);
  train::ShapeClassifier network(options.network, std::ssize(train::shape_names()));
  std::signal(SIGINT, [](int) { g_stop = true; });
  std::signal(SIGTERM, [](int) { g_stop = true; });
  train::train_shapes(network, options.network, options.training, g_stop, [&](const train::ShapeProgress& progress) {
    fmt::print("step {}/{}  {:.0f} s  batch loss {:.3f}  held-out top-1 {:.1f} %\n", progress.step,
               options.training.steps, progress.seconds, progress.loss, 100.0 * progress.top1);
    std::fflush(stdout);
  });
  if (g_stop) fmt::print("interrupted\n");
  network.round_to_bfloat16();
  train::write_shape_checkpoint(options.output, network, options.network, options.held_out);
  fmt::print("wrote {}: top-1 {:.2f} % of {} held-out pictures\n", options.output,
             100.0 * train::shape_accuracy(network, options.network.side, options.held_out), options.held_out);
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Trains a small ResNet on pictures of shapes that it draws itself and writes it as a Hugging Face checkpoint. "
      "Ctrl-C ends the training and keeps the weights.");
  app.footer("Example: tessera-train-vision --output demo/vision --threads 2");
  Options options;
  add_options(app, options);
  CLI11_PARSE(app, argc, argv);
  try {
    run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "tessera-train-vision: {}\n", error.what());
    return 1;
  }
  return 0;
}
