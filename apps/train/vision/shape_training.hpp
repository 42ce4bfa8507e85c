#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include "apps/train/vision/shape_classifier.hpp"

namespace tessera::train {

struct ShapeTrainingOptions {
  std::int64_t steps = 3000;
  std::int64_t batch = 64;
  std::int64_t warmup_steps = 50;
  std::int64_t evaluate_every = 250;
  double learning_rate = 4e-3; ///< at its peak
  double weight_decay = 0.05;  ///< of filters and matrices
};

struct ShapeProgress {
  std::int64_t step = 0; ///< steps done
  double seconds = 0.0;
  double loss = 0.0; ///< of the last batch, nats
  double top1 = 0.0; ///< on held-out pictures
};

/// Trains with AdamW, a warm-up and half a cosine, each picture seen once. `report` is called after each evaluation;
/// `stop` ends the training after the step under way.
void train_shapes(ShapeClassifier& network, const ShapeClassifierOptions& shape, const ShapeTrainingOptions& options,
                  const std::atomic<bool>& stop, const std::function<void(const ShapeProgress&)>& report);

/// Share of the first `count` held-out pictures that the network names.
double shape_accuracy(ShapeClassifier& network, std::int64_t side, std::int64_t count);

} // namespace tessera::train
