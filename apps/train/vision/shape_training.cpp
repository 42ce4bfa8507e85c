#include "apps/train/vision/shape_training.hpp"

#include <ATen/ATen.h>
#include <torch/types.h> // adamw.h does not include what it uses

#include <torch/optim/adamw.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>

#include "apps/train/vision/shape_export.hpp"

namespace tessera::train {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::int64_t kEvaluated = 512;

/// Weight decay holds filters back; norms and biases keep their scale.
torch::optim::AdamW make_optimizer(const ShapeClassifier& network, const ShapeTrainingOptions& options) {
  using torch::optim::AdamWOptions;
  std::vector<torch::optim::OptimizerParamGroup> groups;
  for (const bool matrices : {true, false}) {
    groups.emplace_back(network.parameters(matrices),
                        std::make_unique<AdamWOptions>(
                            AdamWOptions(options.learning_rate).weight_decay(matrices ? options.weight_decay : 0.0)));
  }
  return torch::optim::AdamW(groups, AdamWOptions(options.learning_rate));
}

/// Linear warm-up, then half a cosine down to a hundredth of the peak.
double learning_rate(std::int64_t step, const ShapeTrainingOptions& options) {
  const double warm = std::min(
      1.0, static_cast<double>(step + 1) / static_cast<double>(std::max<std::int64_t>(1, options.warmup_steps)));
  const double done = static_cast<double>(step) / static_cast<double>(options.steps);
  return options.learning_rate * warm * (0.01 + 0.495 * (1.0 + std::cos(std::numbers::pi * done)));
}

} // namespace

double shape_accuracy(ShapeClassifier& network, std::int64_t side, std::int64_t count) {
  const at::NoGradGuard guard;
  const ShapePictures pictures = draw_shapes(kFirstHeldOut, count, side);
  const at::Tensor logits = network.forward(pixel_values(pictures.images), /*training=*/false);
  return logits.argmax(1).eq(pictures.labels).to(at::kDouble).mean().item<double>();
}

void train_shapes(ShapeClassifier& network, const ShapeClassifierOptions& shape, const ShapeTrainingOptions& options,
                  const std::atomic<bool>& stop, const std::function<void(const ShapeProgress&)>& report) {
  torch::optim::AdamW optimizer = make_optimizer(network, options);
  const Clock::time_point begin = Clock::now();
  bool last = false;
  for (std::int64_t step = 0; !last; ++step) {
    for (auto& group : optimizer.param_groups())
      static_cast<torch::optim::AdamWOptions&>(group.options()).lr(learning_rate(step, options));
    const ShapePictures pictures =
        draw_shapes(static_cast<std::uint64_t>(step * options.batch), options.batch, shape.side);
    optimizer.zero_grad();
    const at::Tensor loss =
        at::cross_entropy_loss(network.forward(pixel_values(pictures.images), /*training=*/true), pictures.labels);
    loss.backward();
    optimizer.step();
    last = step + 1 >= options.steps || stop;
    if (last || (step + 1) % options.evaluate_every == 0) {
      report({.step = step + 1,
              .seconds = std::chrono::duration<double>(Clock::now() - begin).count(),
              .loss = loss.item<double>(),
              .top1 = shape_accuracy(network, shape.side, kEvaluated)});
    }
  }
}

} // namespace tessera::train
