#include "apps/train/training.hpp"

#include <ATen/ATen.h>
#include <torch/types.h> // clip_grad.h does not include what it uses

#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>

#include "tessera/base/error.hpp"

namespace tessera::train {
namespace {

using Clock = std::chrono::steady_clock;

/// Weight decay holds large matrices back; norms and biases keep their scale.
torch::optim::AdamW make_optimizer(LanguageModel& model, const TrainingOptions& options) {
  std::vector<at::Tensor> matrices, vectors;
  for (const reference::Parameter& parameter : model.parameters()) {
    (parameter.shape.size() == 1 ? vectors : matrices).push_back(*parameter.tensor);
  }
  using torch::optim::AdamWOptions;
  const AdamWOptions defaults = AdamWOptions(options.learning_rate).betas({0.9, 0.95});
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.emplace_back(matrices,
                      std::make_unique<AdamWOptions>(AdamWOptions(defaults).weight_decay(options.weight_decay)));
  groups.emplace_back(vectors, std::make_unique<AdamWOptions>(AdamWOptions(defaults).weight_decay(0.0)));
  return torch::optim::AdamW(groups, defaults);
}

/// Linear warm-up, then half a cosine down to a tenth of the peak.
double learning_rate(std::int64_t step, const TrainingOptions& options) {
  if (step < options.warmup_steps) {
    return options.learning_rate * static_cast<double>(step + 1) / static_cast<double>(options.warmup_steps);
  }
  const double done = static_cast<double>(step - options.warmup_steps) /
                      static_cast<double>(std::max<std::int64_t>(1, options.steps - options.warmup_steps));
  return options.learning_rate * (0.1 + 0.45 * (1.0 + std::cos(std::numbers::pi * done)));
}

void set_learning_rate(torch::optim::AdamW& optimizer, double rate) {
  for (auto& group : optimizer.param_groups()) {
    static_cast<torch::optim::AdamWOptions&>(group.options()).lr(rate);
  }
}

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets) {
  return at::cross_entropy_loss(logits.reshape({-1, logits.size(-1)}), targets.reshape({-1}));
}

struct Batch {
  at::Tensor inputs;  // [B, S]
  at::Tensor targets; // [B, S]
};

/// Random windows of the training text, each book drawn by its length.
Batch draw_batch(const Tokens& tokens, const TrainingOptions& options) {
  std::int64_t starts = 0;
  for (const auto& book : tokens.training) starts += static_cast<std::int64_t>(book.size()) - options.sequence;
  Batch batch{at::empty({options.batch, options.sequence}, at::kLong),
              at::empty({options.batch, options.sequence}, at::kLong)};
  const at::Tensor positions = at::randint(starts, {options.batch}, at::kLong);
  const at::Tensor headed = at::randint(2, {options.batch}, at::kLong);
  for (std::int64_t row = 0; row < options.batch; ++row) {
    auto start = positions[row].item<std::int64_t>();
    auto book = tokens.training.begin();
    while (start >= static_cast<std::int64_t>(book->size()) - options.sequence) {
      start -= static_cast<std::int64_t>(book->size()) - options.sequence;
      ++book;
    }
    const std::int64_t* text = book->data() + start;
    std::int64_t* inputs = batch.inputs.data_ptr<std::int64_t>() + row * options.sequence;
    std::int64_t* targets = batch.targets.data_ptr<std::int64_t>() + row * options.sequence;
    // With the begin-of-text token the window moves by one: the first target is its first token.
    const std::int64_t shift = headed[row].item<std::int64_t>();
    if (shift == 1) inputs[0] = tokens.begin_of_text;
    std::copy_n(text, options.sequence - shift, inputs + shift);
    std::copy_n(text + 1 - shift, options.sequence, targets);
  }
  return batch;
}

/// The first part of each training text, together about as long as the held-out text.
std::vector<std::vector<std::int64_t>> training_sample(const Tokens& tokens) {
  std::vector<std::vector<std::int64_t>> sample;
  for (std::size_t i = 0; i < tokens.training.size(); ++i) {
    const auto& text = tokens.training[i];
    const std::size_t length = std::min(text.size(), tokens.held_out[i].size());
    sample.emplace_back(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(length));
  }
  return sample;
}

std::vector<at::Tensor> copy_weights(LanguageModel& model) {
  std::vector<at::Tensor> copies;
  for (const reference::Parameter& parameter : model.parameters()) {
    copies.push_back(parameter.tensor->detach().clone());
  }
  return copies;
}

void restore_weights(LanguageModel& model, const std::vector<at::Tensor>& copies) {
  const at::NoGradGuard guard;
  for (std::size_t i = 0; i < copies.size(); ++i) model.parameters()[i].tensor->copy_(copies[i]);
}

/// Whether `candidate` is the evaluation to keep the weights of, given the best one so far.
bool is_better(const Evaluation& candidate, const Evaluation& best, Keep keep) {
  if (best.positions == 0 || keep == Keep::LAST) return true;
  return keep == Keep::LOWEST_LOSS ? candidate.loss < best.loss : candidate.top1 > best.top1;
}

double train_step(LanguageModel& model, torch::optim::AdamW& optimizer, const std::vector<at::Tensor>& weights,
                  const Batch& batch, const TrainingOptions& options) {
  optimizer.zero_grad();
  const at::Tensor loss = cross_entropy(model.forward(batch.inputs, options.dropout), batch.targets);
  loss.backward();
  torch::nn::utils::clip_grad_norm_(weights, options.clip_norm);
  optimizer.step();
  return loss.item<double>();
}

} // namespace

Evaluation evaluate(const LanguageModel& model, const std::vector<std::vector<std::int64_t>>& texts,
                    std::int64_t begin_of_text, std::int64_t sequence) {
  const at::NoGradGuard guard;
  Evaluation total;
  double loss = 0.0;
  std::int64_t right = 0;
  for (const auto& text : texts) {
    const auto length = static_cast<std::int64_t>(text.size());
    for (std::int64_t begin = 0; begin < length; begin += sequence) {
      const std::int64_t count = std::min(sequence, length - begin);
      const at::Tensor targets = at::empty({1, count}, at::kLong);
      std::copy_n(text.begin() + begin, count, targets.data_ptr<std::int64_t>());
      const at::Tensor inputs =
          at::cat({at::full({1, 1}, begin_of_text, at::kLong), targets.narrow(1, 0, count - 1)}, 1);
      const at::Tensor logits = model.forward(inputs, /*dropout=*/0.0);
      loss += cross_entropy(logits, targets).item<double>() * static_cast<double>(count);
      right += logits.argmax(-1).eq(targets).sum().item<std::int64_t>();
      total.positions += count;
    }
  }
  base::require(total.positions > 0, "[train] the evaluated text must not be empty; received no token; add text");
  total.loss = loss / static_cast<double>(total.positions);
  total.top1 = static_cast<double>(right) / static_cast<double>(total.positions);
  return total;
}

std::vector<std::int64_t> continue_greedily(const LanguageModel& model, std::vector<std::int64_t> ids,
                                            std::int64_t count) {
  const at::NoGradGuard guard;
  std::vector<std::int64_t> fresh;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto length = static_cast<std::int64_t>(ids.size());
    const at::Tensor input = at::empty({1, length}, at::kLong);
    std::copy(ids.begin(), ids.end(), input.data_ptr<std::int64_t>());
    const at::Tensor logits = model.forward(input, /*dropout=*/0.0); // [1, length, V]
    fresh.push_back(logits[0][length - 1].argmax().item<std::int64_t>());
    ids.push_back(fresh.back());
  }
  return fresh;
}

void train(LanguageModel& model, const Tokens& tokens, const TrainingOptions& options, const std::atomic<bool>& stop,
           const std::function<void(const Progress&)>& report) {
  for (const auto& book : tokens.training) {
    base::require(static_cast<std::int64_t>(book.size()) > options.sequence + 1,
                  "[train] every book must have more than {} tokens before its last chapter; received {}; take shorter "
                  "sequences",
                  options.sequence + 1, book.size());
  }
  torch::optim::AdamW optimizer = make_optimizer(model, options);
  std::vector<at::Tensor> weights, best_weights = copy_weights(model);
  for (const reference::Parameter& parameter : model.parameters()) weights.push_back(*parameter.tensor);
  const auto sample = training_sample(tokens);
  Evaluation best;
  const Clock::time_point begin = Clock::now();

  bool last = false;
  for (std::int64_t step = 0; !last; ++step) {
    set_learning_rate(optimizer, learning_rate(step, options));
    Progress progress{.step = step + 1};
    progress.batch_loss = train_step(model, optimizer, weights, draw_batch(tokens, options), options);
    // An interrupted training is judged where it stands, so that there are always trained weights to keep.
    last = step + 1 >= options.steps || stop;
    if (last || (step + 1) % options.evaluate_every == 0) {
      progress.evaluated = true;
      progress.training = evaluate(model, sample, tokens.begin_of_text, options.sequence);
      progress.held_out = evaluate(model, tokens.held_out, tokens.begin_of_text, options.sequence);
      progress.best = is_better(progress.held_out, best, options.keep);
      if (progress.best) {
        best = progress.held_out;
        best_weights = copy_weights(model);
      }
    }
    progress.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    report(progress);
  }
  restore_weights(model, best_weights);
}

} // namespace tessera::train
