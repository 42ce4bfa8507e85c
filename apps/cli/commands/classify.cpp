#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "apps/cli/classifier.hpp"
#include "apps/cli/command.hpp"
#include "apps/cli/interrupt.hpp"
#include "apps/cli/json_output.hpp"
#include "apps/cli/standard_streams.hpp"
#include "tessera/base/error.hpp"
#include "tessera/checkpoint/json_text.hpp"
#include "tessera/image/preprocess.hpp"
#include "tessera/reference/reference.hpp"

namespace tessera::cli {
namespace {

struct Options {
  ModelOptions model;
  std::string checkpoint;
  std::vector<std::string> images;
  std::int64_t top = 5;
  std::int64_t batch = 8;
  bool reference = false;
  JsonOutput json;
};

/// A class that a picture may be of.
struct Guess {
  std::size_t number = 0;
  double probability = 0.0;
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

/// The best classes of a row of logits, by softmax.
std::vector<Guess> best_guesses(std::span<const float> logits, std::int64_t top) {
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto count = static_cast<std::ptrdiff_t>(std::min<std::size_t>(static_cast<std::size_t>(top), order.size()));
  std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](std::size_t a, std::size_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  });
  const double most = logits[order.front()];
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(logit - most);
  std::vector<Guess> guesses;
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const std::size_t number = order[static_cast<std::size_t>(i)];
    guesses.push_back({number, std::exp(logits[number] - most) / sum});
  }
  return guesses;
}

int run(const Options& options) {
  base::require(options.top > 0 && options.batch > 0,
                "[classify] --top and --batch must be 1 or more; received {} "
                "and {}",
                options.top, options.batch);
  const InterruptGuard interrupt;
  const auto checkpoint = models::open_vision_checkpoint(options.checkpoint);
  base::require<base::Unsupported>(is_image_classifier(checkpoint),
                                   "[classify] an image classifier is required; {} is none", options.checkpoint);
  const image::Preprocessing preprocessing = preprocessing_of(checkpoint);
  const auto count = std::ssize(options.images);
  std::optional<ClassifierOnBoard> opened;
  std::unique_ptr<nn::ImageClassifier> reference;
  if (options.reference) {
    reference = reference::open_image_classifier(checkpoint, options.model.threads);
  } else {
    opened.emplace(open_classifier(options.model, checkpoint, std::min(count, options.batch)));
  }
  nn::ImageClassifier& model = opened ? static_cast<nn::ImageClassifier&>(*opened->model) : *reference;
  const std::vector<std::string> labels = models::class_labels(checkpoint, model.info().classes);

  nlohmann::json report{{"checkpoint", options.checkpoint}, {"images", nlohmann::json::array()}};
  std::string text;
  for (std::ptrdiff_t first = 0; first < count; first += options.batch) {
    const auto files =
        std::span(options.images)
            .subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(std::min(options.batch, count - first)));
    const tensor::HostTensor logits = model.forward(read_batch(files, preprocessing), nullptr);
    for (std::size_t i = 0; i < files.size(); ++i) {
      nlohmann::json row{{"file", files[i]}, {"classes", nlohmann::json::array()}};
      text += files[i] + "\n";
      for (const Guess& guess : best_guesses(logits.row(static_cast<std::int64_t>(i)), options.top)) {
        const std::string label = labels.empty() ? fmt::format("class {}", guess.number) : labels[guess.number];
        text += fmt::format("  {:6.2f} %  {}\n", 100 * guess.probability, checkpoint::printable(label));
        row["classes"].push_back({{"class", guess.number}, {"label", label}, {"probability", guess.probability}});
      }
      report["images"].push_back(std::move(row));
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
      .summary = "Says what pictures show, by an image classifier",
      .examples =
          "PNG and JPEG files, prepared as the checkpoint's preprocessor_config.json says (torchvision's way for\n"
          "weights without a configuration), named by its id2label.\n\n"
          "Examples:\n"
          "  tessera classify microsoft/resnet-50 cat.jpg dog.png\n"
          "  tessera classify resnet18.safetensors cat.jpg --top 1 --json",
      .add = [](CLI::App& app) -> std::function<int()> {
        auto options = std::make_shared<Options>();
        app.add_option("CHECKPOINT", options->checkpoint,
                       "A checkpoint's folder or Hugging Face name, or a .safetensors file of torchvision's")
            ->required();
        app.add_option("IMAGE", options->images, "Pictures: PNG or JPEG files")->required();
        app.add_option("--top", options->top, "Classes to name for each picture")->capture_default_str();
        app.add_option("--batch", options->batch, "Pictures that go through the model together")->capture_default_str();
        app.add_flag("--reference", options->reference, "On libtorch in fp32 instead of the device");
        options->model.add(app);
        options->json.add(app, "The classes of each picture with their probabilities");
        return [options] { return run(*options); };
      }};
}

} // namespace tessera::cli
