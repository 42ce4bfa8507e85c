#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>

#include "apps/cli/classifier.hpp"
#include "apps/cli/command.hpp"
#include "apps/cli/interrupt.hpp"
#include "apps/cli/json_output.hpp"
#include "apps/cli/standard_streams.hpp"
#include "apps/cli/tokenizer_path.hpp"
#include "tessera/base/error.hpp"
#include "tessera/checkpoint/json_text.hpp"
#include "tessera/image/preprocess.hpp"
#include "tessera/nn/classifier/text_rows.hpp"
#include "tessera/reference/reference.hpp"

namespace tessera::cli {
namespace {

struct Options {
  ModelOptions model;
  std::string checkpoint;
  std::vector<std::string> images;
  std::vector<std::string> texts;
  std::vector<std::string> text_pairs;
  std::int64_t top = 5;
  std::int64_t batch = 8;
  bool reference = false;
  JsonOutput json;
};

/// A class that an item may be of.
struct Guess {
  std::size_t number = 0;
  double value = 0.0; ///< its probability; of a regression what the model says
};

/// What is to be classified, in order: its names and how some of it becomes a model's inputs.
struct Items {
  std::string kind; ///< "images" or "texts"
  std::string key;  ///< of a name in the report
  std::vector<std::string> names;
  std::function<tensor::HostTensor(std::size_t first, std::size_t count)> read;
};

tensor::HostTensor read_batch(std::span<const std::string> files, const image::Preprocessing& preprocessing) {
  tensor::HostTensor batch;
  for (const std::string& file : files) {
    InterruptGuard::check();
    const image::Pixels pixels = image::preprocess(image::read_image(file), preprocessing);
    if (batch.data.empty()) batch.shape = {std::ssize(files), 3, pixels.height, pixels.width};
    base::require(pixels.height == batch.shape[2] && pixels.width == batch.shape[3],
                  "[classify] pictures of one batch must have one size; {} gives {}x{} beside {}x{}; use --batch 1",
                  file, pixels.height, pixels.width, batch.shape[2], batch.shape[3]);
    batch.data.insert(batch.data.end(), pixels.values.begin(), pixels.values.end());
  }
  return batch;
}

Items images_of(const Options& options, const checkpoint::Checkpoint& checkpoint) {
  base::require(!options.images.empty() && options.texts.empty(),
                "[classify] a classifier of images takes pictures; received {} of them and {} texts",
                options.images.size(), options.texts.size());
  return {.kind = "images",
          .key = "file",
          .names = options.images,
          .read = [&options, preprocessing = preprocessing_of(checkpoint)](std::size_t first, std::size_t count) {
            return read_batch(std::span(options.images).subspan(first, count), preprocessing);
          }};
}

/// All texts as tokens; a batch is as long as its longest one.
Items texts_of(const Options& options, const checkpoint::Checkpoint& checkpoint) {
  base::require(!options.texts.empty() && options.images.empty(),
                "[classify] a classifier of texts takes --text; received {} of them and {} pictures",
                options.texts.size(), options.images.size());
  base::require(options.text_pairs.empty() || options.text_pairs.size() == options.texts.size(),
                "[classify] --text-pair must be given for each --text or for none; received {} and {}",
                options.text_pairs.size(), options.texts.size());
  const tokenizer::Tokenizer tokenizer = load_tokenizer(checkpoint.folder().string());
  std::vector<nn::TextTokens> tokens;
  for (std::size_t i = 0; i < options.texts.size(); ++i) {
    const auto pair =
        options.text_pairs.empty() ? std::nullopt : std::optional<std::string_view>(options.text_pairs[i]);
    tokenizer::Encoding encoding = tokenizer.encode_texts(options.texts[i], pair);
    tokens.push_back({std::move(encoding.ids), std::move(encoding.type_ids)});
  }
  return {.kind = "texts",
          .key = "text",
          .names = options.texts,
          .read = [tokens = std::move(tokens)](std::size_t first, std::size_t count) {
            return nn::pack_texts(std::span(tokens).subspan(first, count), 0);
          }};
}

/// Every class's value, as the problem has it: shares of one, each for itself, or as they are.
std::vector<double> values_of(std::span<const float> logits, models::Problem problem) {
  std::vector<double> values(logits.begin(), logits.end());
  if (problem == models::Problem::REGRESSION) return values;
  if (problem == models::Problem::MULTI_LABEL) {
    for (double& value : values) value = 1.0 / (1.0 + std::exp(-value));
    return values;
  }
  const double most = *std::max_element(values.begin(), values.end());
  double sum = 0.0;
  for (double& value : values) sum += value = std::exp(value - most);
  for (double& value : values) value /= sum;
  return values;
}

/// The best classes of a row of logits.
std::vector<Guess> best_guesses(std::span<const float> logits, std::int64_t top, models::Problem problem) {
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto count = static_cast<std::ptrdiff_t>(std::min<std::size_t>(static_cast<std::size_t>(top), order.size()));
  std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](std::size_t a, std::size_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
  const std::vector<double> values = values_of(logits, problem);
  std::vector<Guess> guesses;
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const std::size_t number = order[static_cast<std::size_t>(i)];
    guesses.push_back({number, values[number]});
  }
  return guesses;
}

int run(const Options& options) {
  base::require(options.top > 0 && options.batch > 0,
                "[classify] --top and --batch must be 1 or more; received {} "
                "and {}",
                options.top, options.batch);
  const InterruptGuard interrupt;
  const auto checkpoint = models::open_classifier_checkpoint(options.checkpoint);
  const models::ClassifierFamily* const family = models::classifier_family_of(checkpoint);
  base::require<base::Unsupported>(
      family != nullptr, "[classify] a classifier of images or texts is required; {} is none", options.checkpoint);
  const Items items =
      family->input == nn::ClassifierInput::IMAGES ? images_of(options, checkpoint) : texts_of(options, checkpoint);
  const std::size_t count = items.names.size();
  const auto batch = static_cast<std::size_t>(options.batch);
  std::optional<ClassifierOnBoard> opened;
  std::unique_ptr<nn::Classifier> reference;
  if (options.reference) {
    reference = reference::open_classifier(checkpoint, options.model.threads);
  } else {
    opened.emplace(open_classifier(options.model, checkpoint, static_cast<std::int64_t>(std::min(count, batch))));
  }
  nn::Classifier& model = opened ? static_cast<nn::Classifier&>(*opened->model) : *reference;
  const std::vector<std::string> labels = models::class_labels(checkpoint, model.info().classes);
  const models::Problem problem = models::problem_of(checkpoint, model.info().classes);
  const bool is_regression = problem == models::Problem::REGRESSION;

  nlohmann::json report{{"checkpoint", options.checkpoint}, {items.kind, nlohmann::json::array()}};
  std::string text;
  for (std::size_t first = 0; first < count; first += batch) {
    const std::size_t here = std::min(batch, count - first);
    const tensor::HostTensor logits = model.forward(items.read(first, here), nullptr);
    for (std::size_t i = 0; i < here; ++i) {
      nlohmann::json row{{items.key, items.names[first + i]}, {"classes", nlohmann::json::array()}};
      if (!options.text_pairs.empty()) row["text_pair"] = options.text_pairs[first + i];
      text += checkpoint::printable(items.names[first + i]) + "\n";
      for (const Guess& guess : best_guesses(logits.row(static_cast<std::int64_t>(i)), options.top, problem)) {
        const std::string label = labels.empty() ? fmt::format("class {}", guess.number) : labels[guess.number];
        const std::string value =
            is_regression ? fmt::format("{:8.4f}", guess.value) : fmt::format("{:6.2f} %", 100 * guess.value);
        text += fmt::format("  {}  {}\n", value, checkpoint::printable(label));
        row["classes"].push_back(
            {{"class", guess.number}, {"label", label}, {is_regression ? "value" : "probability", guess.value}});
      }
      report[items.kind].push_back(std::move(row));
    }
  }
  options.json.write(report);
  if (!options.json.on_standard_output()) write_standard_output(text);
  return 0;
}

} // namespace

Command classify_command() {
  return {
      .name = "classify",
      .summary = "Says what pictures show or texts say, by a classifier",
      .examples =
          "PNG and JPEG files, prepared as the checkpoint's preprocessor_config.json says (torchvision's way for\n"
          "weights without a configuration); or texts, alone or in pairs, by the checkpoint's tokenizer. Classes are\n"
          "named by its id2label.\n\n"
          "Examples:\n"
          "  tessera classify microsoft/resnet-50 cat.jpg dog.png\n"
          "  tessera classify resnet18.safetensors cat.jpg --top 1 --json\n"
          "  tessera classify textattack/bert-base-uncased-SST-2 --text \"a charming film\" --text \"a mess\"\n"
          "  tessera classify cross-encoder/ms-marco --text \"how tall is it?\" --text-pair \"It is 8 m tall.\"",
      .add = [](CLI::App& app) -> std::function<int()> {
        auto options = std::make_shared<Options>();
        app.add_option("CHECKPOINT", options->checkpoint,
                       "A checkpoint's folder or Hugging Face name, or a .safetensors file of torchvision's")
            ->required();
        app.add_option("IMAGE", options->images, "Pictures: PNG or JPEG files");
        app.add_option("--text", options->texts, "A text, for a classifier of texts; may be given again")
            ->allow_extra_args(false);
        app.add_option("--text-pair", options->text_pairs, "The second text that goes with a --text, in their order")
            ->allow_extra_args(false);
        app.add_option("--top", options->top, "Classes to name for each picture or text")->capture_default_str();
        app.add_option("--batch", options->batch, "Pictures or texts that go through the model together")
            ->capture_default_str();
        app.add_flag("--reference", options->reference, "On libtorch in fp32 instead of the device");
        options->model.add(app);
        options->json.add(app, "The classes of each picture or text with their probabilities");
        return [options] { return run(*options); };
      }};
}

} // namespace tessera::cli
