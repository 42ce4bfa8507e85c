#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "apps/train/language_model.hpp"

namespace tessera::train {

/// Which weights a training ends with: those of the evaluation with the lowest held-out loss, of the one with the
/// highest held-out top-1, or the last ones.
enum class Keep { LOWEST_LOSS, HIGHEST_TOP1, LAST };

/// The defaults made demo/ (its README has the figures).
struct TrainingOptions {
  Keep keep = Keep::LAST;
  std::int64_t steps = 1900;
  std::int64_t batch = 4;
  std::int64_t sequence = 512;
  std::int64_t warmup_steps = 150;
  std::int64_t evaluate_every = 200;
  double learning_rate = 2.5e-3;
  double weight_decay = 0.3;
  double dropout = 0.1;
  double clip_norm = 1.0;
};

/// Token ids of the training text, book by book, and of the held-out chapters.
struct Tokens {
  std::vector<std::vector<std::int64_t>> training;
  std::vector<std::vector<std::int64_t>> held_out;
  std::int64_t begin_of_text = 0; // stands before every evaluated window and before half of the trained ones
};

/// Mean next-token loss in nats and the share of positions whose most likely token is right.
struct Evaluation {
  double loss = 0.0;
  double top1 = 0.0;
  std::int64_t positions = 0;
};

struct Progress {
  std::int64_t step = 0;
  double batch_loss = 0.0;
  double seconds = 0.0; // since training began
  bool evaluated = false;
  bool best = false;
  Evaluation training; // of a part of the training text as long as the held-out text, without dropout
  Evaluation held_out;
};

/// AdamW with warm-up and cosine decay. Ends with the weights that `options.keep` names in `model`. Stops early when
/// `stop` becomes true. Throws InvalidArgument when a book is shorter than a window.
void train(LanguageModel& model, const Tokens& tokens, const TrainingOptions& options, const std::atomic<bool>& stop,
           const std::function<void(const Progress&)>& report);

/// Over whole texts in windows of `sequence` tokens, each with the begin-of-text token before it, without dropout.
Evaluation evaluate(const LanguageModel& model, const std::vector<std::vector<std::int64_t>>& texts,
                    std::int64_t begin_of_text, std::int64_t sequence);

/// Greedy continuation of `ids` by `count` tokens.
std::vector<std::int64_t> continue_greedily(const LanguageModel& model, std::vector<std::int64_t> ids,
                                            std::int64_t count);

} // namespace tessera::train
