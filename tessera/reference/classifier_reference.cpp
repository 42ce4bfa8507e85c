#include "tessera/reference/classifier_reference.hpp"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "tessera/base/error.hpp"
#include "tessera/reference/bert_reference.hpp"
#include "tessera/reference/reference.hpp"
#include "tessera/reference/threads.hpp"
#include "tessera/reference/vision_reference.hpp"

namespace tessera::reference {
namespace {

/// Host tensors have an image's channels last, libtorch first.
nn::HostTensor to_host(const at::Tensor& tensor) {
  const at::Tensor dense = (tensor.dim() == 4 ? tensor.permute({0, 2, 3, 1}) : tensor).contiguous();
  const float* begin = dense.data_ptr<float>();
  return {Shape(std::span(dense.sizes().data(), dense.sizes().size())), {begin, begin + dense.numel()}};
}

at::Tensor to_torch_image(const nn::HostTensor& host) {
  const at::Tensor tensor = to_torch(host);
  return tensor.dim() == 4 ? tensor.permute({0, 3, 1, 2}).contiguous() : tensor;
}

std::string architecture_of(const checkpoint::Checkpoint& checkpoint) {
  const std::vector<std::string> names = config_of(checkpoint).strings("architectures");
  return names.empty() ? "" : names.front();
}

} // namespace

at::Tensor to_torch(const nn::HostTensor& host) {
  const at::Tensor tensor = at::empty(at::IntArrayRef(host.shape.extents().data(), host.shape.rank()), at::kFloat);
  std::copy(host.data.begin(), host.data.end(), tensor.data_ptr<float>());
  return tensor;
}

at::Tensor activate(const at::Tensor& x, const std::string& name) {
  if (name == "relu") return at::relu(x);
  if (name == "gelu") return at::gelu(x);
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return at::gelu(x, "tanh");
  if (name == "silu" || name == "swish") return at::silu(x);
  throw base::Unsupported(fmt::format("[reference] hidden_act \"{}\" of a classifier is not known", name));
}

checkpoint::ConfigReader config_of(const checkpoint::Checkpoint& checkpoint) {
  return checkpoint::ConfigReader(checkpoint.config(), checkpoint.config_path().string());
}

ClassifierReference::ClassifierReference(const checkpoint::Checkpoint& checkpoint, nn::ClassifierInput input)
    : checkpoint_(checkpoint), latest_(nn::input_name(input)) {}

void ClassifierReference::append(std::string name, Forward forward) {
  modules_.push_back({.name = name, .input = latest_});
  forwards_.push_back(std::move(forward));
  latest_ = std::move(name);
}

void ClassifierReference::add_piece(std::string name, std::string input, Forward forward) {
  modules_.push_back({.name = std::move(name), .input = std::move(input), .is_block = false});
  forwards_.push_back(std::move(forward));
}

at::Tensor ClassifierReference::weight(const std::string& name) const {
  const checkpoint::TensorView& view = checkpoint_.tensor(name);
  at::Tensor tensor = at::empty(view.shape, at::kFloat);
  checkpoint::copy_as_float(view, 0, {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())});
  return tensor;
}

at::Tensor ClassifierReference::linear(const at::Tensor& x, const std::string& name) const {
  return at::linear(x, weight(name + ".weight"), has(name + ".bias") ? weight(name + ".bias") : at::Tensor());
}

nn::HostTensor ClassifierReference::forward(const nn::HostTensor& inputs, nn::Features* features) {
  const c10::InferenceMode inference;
  at::Tensor x = take(inputs);
  if (features != nullptr) {
    features->clear();
    features->emplace(nn::input_name(info_.input), inputs);
  }
  for (std::size_t i = 0; i < modules_.size(); ++i) {
    if (!modules_[i].is_block) continue;
    x = forwards_[i](x);
    if (features != nullptr) features->emplace(modules_[i].name, to_host(x));
  }
  return to_host(x);
}

nn::HostTensor ClassifierReference::run_module(std::string_view name, const nn::HostTensor& x,
                                               const nn::HostTensor& inputs) {
  const auto module = std::find_if(modules_.begin(), modules_.end(),
                                   [name](const nn::ClassifierModule& candidate) { return candidate.name == name; });
  base::require(module != modules_.end(), "[run_module] a module of the model is required; received \"{}\"", name);
  const c10::InferenceMode inference;
  const bool first = module->input == nn::input_name(info_.input);
  if (!first && info_.input == nn::ClassifierInput::TEXTS) take(inputs);
  return to_host(forwards_[static_cast<std::size_t>(module - modules_.begin())](first ? take(x) : to_torch_image(x)));
}

std::unique_ptr<nn::Classifier> open_classifier(const checkpoint::Checkpoint& checkpoint, int threads) {
  set_torch_threads(threads);
  const std::string architecture = architecture_of(checkpoint);
  if (architecture == "BertForSequenceClassification") return std::make_unique<BertReference>(checkpoint);
  if (architecture == "ViTForImageClassification") return std::make_unique<VitReference>(checkpoint);
  const bool torchvision = checkpoint.config().empty() && checkpoint.contains("layer1.0.conv1.weight");
  base::require<base::Unsupported>(
      torchvision || architecture == "ResNetForImageClassification",
      "[reference] BertForSequenceClassification, ResNetForImageClassification, ViTForImageClassification and "
      "torchvision's ResNet are known; received \"{}\"",
      architecture);
  return std::make_unique<ResNetReference>(checkpoint);
}

} // namespace tessera::reference
