#include "apps/train/vision/shape_classifier.hpp"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>

namespace tessera::train {
namespace {

constexpr double kNormEps = 1e-5;
constexpr double kMomentum = 0.1;
constexpr const char* kStem = "resnet.embedder.embedder";

std::string block_name(std::size_t stage, std::int64_t block) {
  return fmt::format("resnet.encoder.stages.{}.layers.{}.", stage, block);
}

} // namespace

ShapeClassifier::ShapeClassifier(const ShapeClassifierOptions& options, std::int64_t classes) : options_(options) {
  add_convolution(kStem, options.stem, 3, 7);
  std::int64_t input = options.stem;
  for (std::size_t stage = 0; stage < options.widths.size(); ++stage) {
    const std::int64_t width = options.widths[stage];
    for (std::int64_t block = 0; block < options.depth; ++block) {
      const std::string name = block_name(stage, block);
      add_convolution(name + "layer.0", width, input, 3);
      add_convolution(name + "layer.1", width, width, 3);
      if (input != width) add_convolution(name + "shortcut", width, input, 1);
      input = width;
    }
  }
  learn("classifier.1.weight", at::randn({classes, input}) / std::sqrt(static_cast<double>(input)));
  learn("classifier.1.bias", at::zeros({classes}));
}

at::Tensor ShapeClassifier::forward(const at::Tensor& pixels, bool training) {
  at::Tensor x = at::relu(convolution(pixels, kStem, 2, training));
  x = at::max_pool2d(x, {3, 3}, {2, 2}, {1, 1});
  for (std::size_t stage = 0; stage < options_.widths.size(); ++stage) {
    for (std::int64_t block = 0; block < options_.depth; ++block) {
      const std::string name = block_name(stage, block);
      const std::int64_t stride = stage > 0 && block == 0 ? 2 : 1;
      const bool reshaped = tensors_.contains(name + "shortcut.convolution.weight");
      const at::Tensor inner = at::relu(convolution(x, name + "layer.0", stride, training));
      const at::Tensor shortcut = reshaped ? convolution(x, name + "shortcut", stride, training) : x;
      x = at::relu(convolution(inner, name + "layer.1", 1, training) + shortcut);
    }
  }
  return at::linear(x.mean({2, 3}), tensors_.at("classifier.1.weight"), tensors_.at("classifier.1.bias"));
}

std::vector<at::Tensor> ShapeClassifier::parameters(bool matrices) const {
  std::vector<at::Tensor> result;
  for (const auto& [name, tensor] : tensors_) {
    if (tensor.requires_grad() && (tensor.dim() > 1) == matrices) result.push_back(tensor);
  }
  return result;
}

void ShapeClassifier::round_to_bfloat16() {
  const at::NoGradGuard guard;
  for (const at::Tensor& matrix : parameters(true)) matrix.copy_(matrix.to(at::kBFloat16));
}

void ShapeClassifier::learn(const std::string& name, const at::Tensor& values) {
  tensors_[name] = values.set_requires_grad(true);
}

/// A convolution without bias and its batch norm; weights as He et al. start them.
void ShapeClassifier::add_convolution(const std::string& name, std::int64_t output, std::int64_t input,
                                      std::int64_t kernel) {
  const double deviation = std::sqrt(2.0 / static_cast<double>(input * kernel * kernel));
  learn(name + ".convolution.weight", at::randn({output, input, kernel, kernel}) * deviation);
  learn(name + ".normalization.weight", at::ones({output}));
  learn(name + ".normalization.bias", at::zeros({output}));
  tensors_[name + ".normalization.running_mean"] = at::zeros({output});
  tensors_[name + ".normalization.running_var"] = at::ones({output});
}

at::Tensor ShapeClassifier::convolution(const at::Tensor& x, const std::string& name, std::int64_t stride,
                                        bool training) {
  const at::Tensor& weight = tensors_.at(name + ".convolution.weight");
  const std::int64_t padding = weight.size(2) / 2;
  const std::string norm = name + ".normalization.";
  return at::batch_norm(at::conv2d(x, weight, {}, {stride, stride}, {padding, padding}), tensors_.at(norm + "weight"),
                        tensors_.at(norm + "bias"), tensors_.at(norm + "running_mean"),
                        tensors_.at(norm + "running_var"), training, kMomentum, kNormEps, /*cudnn_enabled=*/false);
}

nlohmann::json resnet_config(const ShapeClassifierOptions& options, const std::vector<std::string>& labels) {
  nlohmann::json id2label = nlohmann::json::object();
  nlohmann::json label2id = nlohmann::json::object();
  for (std::size_t i = 0; i < labels.size(); ++i) {
    id2label[std::to_string(i)] = labels[i];
    label2id[labels[i]] = i;
  }
  return {{"architectures", {"ResNetForImageClassification"}},
          {"depths", std::vector<std::int64_t>(options.widths.size(), options.depth)},
          {"downsample_in_bottleneck", false},
          {"downsample_in_first_stage", false},
          {"embedding_size", options.stem},
          {"hidden_act", "relu"},
          {"hidden_sizes", options.widths},
          {"id2label", id2label},
          {"image_size", options.side},
          {"label2id", label2id},
          {"layer_type", "basic"},
          {"model_type", "resnet"},
          {"num_channels", 3},
          {"torch_dtype", "bfloat16"},
          {"transformers_version", "4.46.0"}};
}

} // namespace tessera::train
