#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/checkpoint/config_reader.hpp"
#include "tessera/nn/classifier/classifier_model.hpp"
#include "tessera/nn/classifier/encoder_layer.hpp"

namespace tessera::models {

/// What a family makes a model of.
struct ClassifierMaterial {
  std::shared_ptr<runtime::MeshDevice> device;
  const checkpoint::Checkpoint& checkpoint;
  const nn::WeightLoader& weights;
  const nn::Precision& precision;
  std::int64_t tensor_parallel = 1; ///< chips that share the layers; more than 1: columns of the mesh
};

/// How a family of published classifiers of images or texts becomes a model of ours.
struct ClassifierFamily {
  std::string_view name;         ///< "resnet"
  std::string_view architecture; ///< config.json's architectures entry
  nn::ClassifierInput input = nn::ClassifierInput::IMAGES;
  /// Whether weights that come without a configuration are of this family; null: they never are.
  bool (*recognises)(const checkpoint::Checkpoint& checkpoint) = nullptr;
  std::unique_ptr<nn::ClassifierModel> (*load)(const ClassifierMaterial& material) = nullptr;
  /// The attention heads of a configuration, which chips can share; null: every chip holds a layer whole.
  std::int64_t (*shared_heads)(const checkpoint::ConfigReader& config) = nullptr;
};

/// All families, in alphabetical order. A new one adds its folder and its line in classifier.cpp.
std::span<const ClassifierFamily> classifier_families();

/// The family of a checkpoint, by `architectures` or, without a configuration, by its tensors; null: none.
const ClassifierFamily* classifier_family_of(const checkpoint::Checkpoint& checkpoint);

/// A checkpoint with a configuration, or weights alone: a folder, a Hugging Face name, a `.safetensors` file.
checkpoint::Checkpoint open_classifier_checkpoint(const std::string& path_or_hub_name);

struct ClassifierLoadOptions {
  std::string precision = "accuracy"; ///< preset or JSON file
  /// Random weights of this seed in place of the checkpoint's, which may be a configuration alone.
  std::optional<std::uint64_t> random_seed;
  /// Chips that share the layers of a copy of the model: 1, or the columns of the mesh.
  std::int64_t tensor_parallel = 1;
};

/// Throws InvalidArgument unless so many chips can share the layers of a checkpoint's model: 1 always can, more can
/// where its family has attention heads that they divide.
void check_tensor_parallel(const checkpoint::Checkpoint& checkpoint, std::int64_t chips);

/// Puts a classifier on a device, a copy on each chip or, with tensor parallelism, on each row of the mesh. Throws
/// Unsupported for a checkpoint of no known family, InvalidArgument for a contradictory configuration or option,
/// IoError for missing or misshapen tensors, OutOfMemory when the card's memory does not suffice.
std::unique_ptr<nn::ClassifierModel> load_classifier(std::shared_ptr<runtime::MeshDevice> device,
                                                     const checkpoint::Checkpoint& checkpoint,
                                                     const ClassifierLoadOptions& options);

/// num_hidden_layers.
std::int64_t read_layers(const checkpoint::ConfigReader& config, std::int64_t fallback);
/// What transformers' encoders share: hidden_size, num_attention_heads, intermediate_size, hidden_act, layer_norm_eps.
/// Throws InvalidArgument for impossible values, Unsupported for activations that are not built.
void read_encoder(const checkpoint::ConfigReader& config, std::string_view family, nn::EncoderConfig& encoder);

/// Most pixels along a side of an image.
inline constexpr std::int64_t kMostPixels = 16384;

/// Classes of a config.json: the entries of id2label, or num_labels.
std::int64_t class_count(const checkpoint::ConfigReader& config);
/// The names of `classes` classes, by id2label: empty without one. Throws InvalidArgument for one that does not name
/// each class once.
std::vector<std::string> class_labels(const checkpoint::Checkpoint& checkpoint, std::int64_t classes);

/// What a classifier's logits mean: one class of all, each class by itself, or numbers as they are.
enum class Problem { SINGLE_LABEL, MULTI_LABEL, REGRESSION };
/// By config.json's problem_type; without one a single class stands by itself, as in transformers' pipelines. Throws
/// InvalidArgument for another type.
Problem problem_of(const checkpoint::Checkpoint& checkpoint, std::int64_t classes);

} // namespace tessera::models
