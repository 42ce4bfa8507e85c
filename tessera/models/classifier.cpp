#include "tessera/models/classifier.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "tessera/base/error.hpp"
#include "tessera/models/bert/bert.hpp"
#include "tessera/models/decoder_keys.hpp"
#include "tessera/models/resnet/resnet.hpp"
#include "tessera/models/vit/vit.hpp"

namespace tessera::models {
namespace {

constexpr std::int64_t kDefaultClasses = 2; // of Hugging Face's PretrainedConfig

const auto& registry() {
  static const std::array families = {bert_family(), resnet_family(), vit_family()};
  return families;
}

ops::Activation read_activation(const checkpoint::ConfigReader& config, std::string_view family) {
  const std::string name = config.string_or("hidden_act", "gelu");
  if (name == "gelu") return ops::Activation::GELU;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return ops::Activation::GELU_TANH;
  if (name == "relu") return ops::Activation::RELU;
  throw base::Unsupported(
      fmt::format("[config] hidden_act gelu, gelu_new, gelu_pytorch_tanh and relu of a {} are built; received \"{}\"",
                  family, name));
}

checkpoint::ConfigReader reader(const checkpoint::Checkpoint& checkpoint) {
  return checkpoint::ConfigReader(checkpoint.config(), checkpoint.config_path().string());
}

} // namespace

std::span<const ClassifierFamily> classifier_families() {
  return registry();
}

const ClassifierFamily* classifier_family_of(const checkpoint::Checkpoint& checkpoint) {
  const std::vector<std::string> architectures = reader(checkpoint).strings("architectures");
  const auto found = std::find_if(registry().begin(), registry().end(), [&](const ClassifierFamily& family) {
    if (!architectures.empty()) return family.architecture == architectures.front();
    return checkpoint.config().empty() && family.recognises != nullptr && family.recognises(checkpoint);
  });
  return found == registry().end() ? nullptr : &*found;
}

checkpoint::Checkpoint open_classifier_checkpoint(const std::string& path_or_hub_name) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path path = path_or_hub_name;
  const bool weights_alone = path.extension() == ".safetensors" ||
                             (fs::is_directory(path, error) && !fs::exists(path / "config.json", error) &&
                              fs::exists(path / "model.safetensors", error));
  if (!weights_alone) return checkpoint::Checkpoint::open(path_or_hub_name);
  auto checkpoint = checkpoint::Checkpoint::open_weights(path_or_hub_name);
  // Of no classifier that needs no configuration: what is missing is the configuration.
  if (fs::is_directory(path, error) && classifier_family_of(checkpoint) == nullptr)
    return checkpoint::Checkpoint::open(path_or_hub_name);
  return checkpoint;
}

namespace {

const ClassifierFamily& require_family(const checkpoint::Checkpoint& checkpoint) {
  if (const ClassifierFamily* family = classifier_family_of(checkpoint)) return *family;
  std::vector<std::string_view> known;
  for (const ClassifierFamily& each : registry()) known.push_back(each.architecture);
  throw base::Unsupported(
      fmt::format("[load] a classifier is required: architectures of {}, or torchvision's tensor names without a "
                  "config.json; {} is neither",
                  fmt::join(known, ", "), checkpoint.folder().string()));
}

} // namespace

void check_tensor_parallel(const checkpoint::Checkpoint& checkpoint, std::int64_t chips) {
  if (chips == 1) return;
  const ClassifierFamily& family = require_family(checkpoint);
  base::require(family.shared_heads != nullptr,
                "[tensor parallel] chips cannot share the layers of a {}: every chip holds all of it; received {} "
                "chips; leave --tp out, --dp spreads the images",
                family.name, chips);
  const std::int64_t heads = family.shared_heads(reader(checkpoint));
  std::vector<std::int64_t> possible;
  for (std::int64_t n = 1; n <= heads; ++n) {
    if (heads % n == 0) possible.push_back(n);
  }
  base::require(chips >= 1 && heads % chips == 0,
                "[tensor parallel] the chips that share the {} attention heads must divide them; received {}; {} are "
                "possible",
                heads, chips, fmt::join(possible, ", "));
}

std::unique_ptr<nn::ClassifierModel> load_classifier(std::shared_ptr<runtime::MeshDevice> device,
                                                     const checkpoint::Checkpoint& checkpoint,
                                                     const ClassifierLoadOptions& options) {
  const ClassifierFamily& family = require_family(checkpoint);
  check_tensor_parallel(checkpoint, options.tensor_parallel);
  base::require(options.tensor_parallel == 1 || options.tensor_parallel == device->board().mesh_columns,
                "[tensor parallel] the chips of a copy must be a row of the mesh, {} chips; received {}",
                device->board().mesh_columns, options.tensor_parallel);
  const nn::Precision precision = nn::make_precision(options.precision, {.family = std::string(family.name)});
  // Weights are changed before they are stored, norms folded into them: there is no format of their own to keep.
  const nn::WeightLoader weights(*device, checkpoint, false, DataType::FLOAT32, options.random_seed);
  auto model = family.load({std::move(device), checkpoint, weights, precision, options.tensor_parallel});
  weights.finish();
  return model;
}

std::int64_t read_layers(const checkpoint::ConfigReader& config, std::int64_t fallback) {
  return config.integer_or("num_hidden_layers", fallback, {1, kMostLayers});
}

void read_encoder(const checkpoint::ConfigReader& config, std::string_view family, nn::EncoderConfig& encoder) {
  constexpr checkpoint::IntegerRange kExtent{1, kLargestExtent};
  encoder.hidden_size = config.integer_or("hidden_size", encoder.hidden_size, kExtent);
  encoder.heads = config.integer_or("num_attention_heads", encoder.heads, {1, kMostHeads});
  if (encoder.hidden_size % encoder.heads != 0)
    config.reject("num_attention_heads", fmt::format("a divisor of hidden_size, {}", encoder.hidden_size));
  encoder.mlp_hidden = config.integer_or("intermediate_size", encoder.mlp_hidden, kExtent);
  encoder.norm_eps = static_cast<float>(config.number_or("layer_norm_eps", 1e-12, {0.0, 1.0}));
  encoder.activation = read_activation(config, family);
}

std::int64_t class_count(const checkpoint::ConfigReader& config) {
  if (config.has("id2label")) {
    const auto labels = config.object("id2label");
    if (labels) return std::max<std::int64_t>(1, std::ssize(labels->unknown_keys()));
  }
  return config.integer_or("num_labels", kDefaultClasses, {1, kLargestExtent});
}

std::vector<std::string> class_labels(const checkpoint::Checkpoint& checkpoint, std::int64_t classes) {
  const auto labels = reader(checkpoint).object("id2label");
  if (!labels) return {};
  std::vector<std::string> result;
  for (std::int64_t i = 0; i < classes; ++i) result.push_back(labels->string(std::to_string(i)));
  return result;
}

Problem problem_of(const checkpoint::Checkpoint& checkpoint, std::int64_t classes) {
  const checkpoint::ConfigReader config = reader(checkpoint);
  const std::string type =
      config.string_or("problem_type", classes == 1 ? "multi_label_classification" : "single_label_classification");
  if (type == "single_label_classification") return Problem::SINGLE_LABEL;
  if (type == "multi_label_classification") return Problem::MULTI_LABEL;
  if (type == "regression") return Problem::REGRESSION;
  config.reject("problem_type", "single_label_classification, multi_label_classification or regression");
}

} // namespace tessera::models
