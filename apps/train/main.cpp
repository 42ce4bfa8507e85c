// tessera-train: trains a small Llama on a folder of books and writes it as a Hugging Face checkpoint.

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "apps/train/corpus.hpp"
#include "apps/train/export.hpp"
#include "apps/train/special_tokens.hpp"
#include "apps/train/training.hpp"
#include "tessera/base/error.hpp"
#include "tessera/base/file.hpp"
#include "tessera/reference/threads.hpp"
#include "tessera/tokenizer/tokenizer.hpp"
#include "tessera/tokenizer/trainer.hpp"

namespace {

using namespace tessera;

std::atomic<bool> g_stop{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set by a signal handler");

struct Options {
  std::string data;
  std::string output;
  std::string prompt = "Alice was beginning to";
  std::size_t vocabulary = 2048;
  std::uint64_t seed = 1;
  int threads = 1;
  train::ModelOptions model;
  train::TrainingOptions training;
};

void add_options(CLI::App& app, Options& options) {
  app.add_option("--data", options.data, "Folder of books (.txt, UTF-8); the last chapter of each is held out")
      ->required();
  app.add_option("--output", options.output, "Folder for the checkpoint and heldout.txt; made when absent")->required();
  app.add_option("--prompt", options.prompt, "Text to continue greedily at the end");
  app.add_option("--vocab", options.vocabulary, "Tokens of the byte-level BPE vocabulary, bytes and specials included")
      ->capture_default_str();
  app.add_option("--seed", options.seed, "Seed of weights, batches and dropout")->capture_default_str();
  app.add_option("--threads", options.threads, "Threads")->capture_default_str()->check(CLI::Range(1, 1024));

  train::ModelOptions& model = options.model;
  const CLI::Range size(1, 65536);
  app.add_option("--hidden", model.hidden, "Hidden size")->capture_default_str()->check(size);
  app.add_option("--layers", model.layers, "Decoder layers")->capture_default_str()->check(size);
  app.add_option("--heads", model.query_heads, "Query heads")->capture_default_str()->check(size);
  app.add_option("--kv-heads", model.kv_heads, "Key and value heads")->capture_default_str()->check(size);
  app.add_option("--mlp", model.mlp_hidden, "Hidden size of the MLP")->capture_default_str()->check(size);
  app.add_option("--context", model.context, "max_position_embeddings")->capture_default_str()->check(size);

  train::TrainingOptions& training = options.training;
  const CLI::Range fraction(0.0, 0.99);
  app.add_option("--steps", training.steps, "Optimiser steps")->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--batch", training.batch, "Windows per step")->capture_default_str()->check(size);
  app.add_option("--sequence", training.sequence, "Tokens per window")->capture_default_str()->check(size);
  app.add_option("--warmup", training.warmup_steps, "Steps until the full learning rate")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--eval-every", training.evaluate_every, "Steps between evaluations")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--lr", training.learning_rate, "Peak learning rate")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--weight-decay", training.weight_decay, "AdamW's decay of matrices")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  const std::map<std::string, train::Keep> keeps{
      {"loss", train::Keep::LOWEST_LOSS}, {"top1", train::Keep::HIGHEST_TOP1}, {"last", train::Keep::LAST}};
  app.add_option("--keep", training.keep,
                 "Weights to keep: of the evaluation with the lowest held-out loss (loss), the highest held-out top-1 "
                 "(top1), or the last ones (last)")
      ->default_str("last")
      ->transform(CLI::CheckedTransformer(keeps));
  app.add_option("--dropout", training.dropout, "Dropout on embeddings and residual branches")
      ->capture_default_str()
      ->check(fraction);
}

struct Corpus {
  std::string tokenizer_json;
  std::string held_out_text;
  train::Tokens tokens;
  std::int64_t end_of_text = 0;
  std::vector<std::int64_t> prompt;
  std::int64_t vocabulary = 0;
};

std::vector<std::int64_t> encode(const tokenizer::Tokenizer& tokenizer, const std::string& text, bool special) {
  const std::vector<std::int32_t> ids = tokenizer.encode(text, special);
  return {ids.begin(), ids.end()};
}

/// The tokenizer sees the training text only, so that the held-out chapters stay unknown to it too.
Corpus prepare(const Options& options) {
  const std::vector<train::Book> books = train::read_books(options.data);
  std::vector<std::string> texts;
  for (const train::Book& book : books) texts.push_back(book.training);
  const std::vector<std::string> specials{train::kBeginOfText, train::kEndOfText};
  Corpus corpus;
  corpus.tokenizer_json = tokenizer::train_byte_level_bpe(texts, options.vocabulary, specials);
  const auto tokenizer = tokenizer::Tokenizer::parse(corpus.tokenizer_json, "the trained tokenizer");
  for (const train::Book& book : books) {
    corpus.tokens.training.push_back(encode(tokenizer, book.training, false));
    corpus.tokens.held_out.push_back(encode(tokenizer, book.held_out, false));
    corpus.held_out_text += book.held_out;
    fmt::print("{}: {} tokens to train on, {} held out\n", book.path.filename().string(),
               corpus.tokens.training.back().size(), corpus.tokens.held_out.back().size());
  }
  corpus.tokens.begin_of_text = tokenizer.token_to_id(train::kBeginOfText).value();
  corpus.end_of_text = tokenizer.token_to_id(train::kEndOfText).value();
  corpus.vocabulary = static_cast<std::int64_t>(tokenizer.vocab_size());
  corpus.prompt = encode(tokenizer, options.prompt, true);
  return corpus;
}

void print_progress(const train::Progress& progress, std::int64_t steps) {
  if (!progress.evaluated) return;
  fmt::print(
      "step {}/{}  {:.0f} s  batch loss {:.3f}  train {:.3f} (top-1 {:.1f} %)  held-out {:.3f} (top-1 {:.1f} %){}\n",
      progress.step, steps, progress.seconds, progress.batch_loss, progress.training.loss,
      100.0 * progress.training.top1, progress.held_out.loss, 100.0 * progress.held_out.top1,
      progress.best ? "  best" : "");
  std::fflush(stdout);
}

void print_result(const Options& options, const Corpus& corpus, const train::LanguageModel& model) {
  const std::int64_t sequence = options.training.sequence;
  const auto tokenizer = tokenizer::Tokenizer::parse(corpus.tokenizer_json, "the trained tokenizer");
  for (const auto& [name, texts] :
       {std::pair{"train", &corpus.tokens.training}, {"held-out", &corpus.tokens.held_out}}) {
    const train::Evaluation result = train::evaluate(model, *texts, corpus.tokens.begin_of_text, sequence);
    fmt::print("{}: loss {:.4f} nats per token, top-1 {:.2f} %, {} tokens\n", name, result.loss, 100.0 * result.top1,
               result.positions);
  }
  constexpr std::int64_t kContinuation = 100;
  std::vector<std::int32_t> ids;
  for (const std::int64_t id : train::continue_greedily(model, corpus.prompt, kContinuation)) {
    ids.push_back(static_cast<std::int32_t>(id));
  }
  fmt::print("{}{}\n", options.prompt, tokenizer.decode(ids));
}

void run(const Options& options) {
  base::require(options.training.sequence <= options.model.context,
                "[train] --sequence must be at most --context; received {} and {}; shorten the windows",
                options.training.sequence, options.model.context);
  reference::set_torch_threads(options.threads);
  at::manual_seed(options.seed);
  const Corpus corpus = prepare(options);
  const nlohmann::json config =
      train::llama_config(options.model, corpus.vocabulary, corpus.tokens.begin_of_text, corpus.end_of_text);
  train::LanguageModel model(reference::describe_decoder(config, "the options"));
  fmt::print("{} parameters, {} tokens in the vocabulary\n", model.num_parameters(), corpus.vocabulary);
  std::fflush(stdout);

  std::signal(SIGINT, [](int) { g_stop = true; });
  std::signal(SIGTERM, [](int) { g_stop = true; });
  train::train(model, corpus.tokens, options.training, g_stop,
               [&](const train::Progress& progress) { print_progress(progress, options.training.steps); });
  if (g_stop) fmt::print("interrupted\n");

  train::round_to_bfloat16(model);
  train::write_checkpoint(options.output, model, config, corpus.tokenizer_json);
  base::write_file_atomically(std::filesystem::path(options.output) / "heldout.txt", corpus.held_out_text);
  fmt::print("wrote {}\n", options.output);
  print_result(options, corpus, model);
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Trains a small Llama on a folder of books and writes it as a Hugging Face checkpoint (BF16). "
      "Ctrl-C ends the training and keeps the weights that --keep names, of the evaluations so far.");
  app.footer("Example: tessera-train --data ../shared/data --output demo");
  Options options;
  add_options(app, options);
  CLI11_PARSE(app, argc, argv);
  try {
    run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "tessera-train: {}\n", error.what());
    return 1;
  }
  return 0;
}
