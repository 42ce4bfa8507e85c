#include "tessera/nn/classifier/classifier_model.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"

namespace tessera::nn {
namespace {

/// [N, rows of an item..., C] of a tensor [1, 1, N * rows of an item, C].
Shape host_shape(const FeatureMap& features, std::int64_t items) {
  std::vector<std::int64_t> extents{items};
  extents.insert(extents.end(), features.extents.begin(), features.extents.end());
  extents.push_back(features.rows.shape()[-1]);
  return Shape(extents);
}

} // namespace

ClassifierModel::ClassifierModel(std::shared_ptr<runtime::MeshDevice> device, Precision precision, ClassifierInfo info,
                                 std::int64_t tensor_parallel)
    : device_(std::move(device)),
      precision_(std::move(precision)),
      info_(std::move(info)),
      tensor_parallel_(tensor_parallel),
      latest_(input_name(info_.input)) {}

tensor::MeshMapper ClassifierModel::over_copies(int dim, std::int64_t of_copy) const {
  if (tensor_parallel_ == 1) return tensor::shard_tensor_to_mesh(dim, of_copy);
  return tensor::shard_tensor_2d_mesh(tensor::MeshCut{dim, of_copy}, std::nullopt);
}

void ClassifierModel::append(std::string name, Forward forward) {
  modules_.push_back({.name = name, .input = latest_});
  forwards_.push_back(std::move(forward));
  latest_ = std::move(name);
}

void ClassifierModel::add_piece(std::string name, std::string input, Forward forward) {
  modules_.push_back({.name = std::move(name), .input = std::move(input), .is_block = false});
  forwards_.push_back(std::move(forward));
}

FeatureMap ClassifierModel::upload(const HostTensor& inputs) {
  const auto extents = inputs.shape.extents();
  base::require(extents.size() > 1 && inputs.shape.volume() > 0, "[{}] {} of items must not be empty; received {}",
                info_.family, input_name(info_.input), inputs.shape);
  FeatureMap memory = allocate_inputs(items_of_copy(extents[0]), extents.subspan(1));
  write_inputs(memory, inputs);
  return memory;
}

tensor::Read<HostTensor> ClassifierModel::begin_read(const FeatureMap& features, std::int64_t items) const {
  const Shape shape = host_shape(features, items);
  const tensor::MeshConcat rows{-2, shape.volume() / shape[-1]};
  return tensor::begin_read(
      features.rows, tensor_parallel_ == 1 ? tensor::MeshComposer{.mesh = rows} : tensor::MeshComposer{.rows = rows});
}

HostTensor ClassifierModel::read(const FeatureMap& features, std::int64_t items) const {
  HostTensor result = begin_read(features, items).get();
  result.shape = host_shape(features, items);
  return result;
}

FeatureMap ClassifierModel::forward(FeatureMap features) {
  for (std::size_t i = 0; i < modules_.size(); ++i) {
    if (!modules_[i].is_block) continue;
    const runtime::Scope scope(*device_, modules_[i].name);
    features = forwards_[i](features);
  }
  return features;
}

HostTensor ClassifierModel::forward(const HostTensor& inputs, Features* features) {
  FeatureMap map = upload(inputs);
  const std::int64_t items = inputs.shape[0];
  if (features == nullptr) return read(forward(std::move(map)), items);
  features->clear();
  features->emplace(input_name(info_.input), inputs);
  for (std::size_t i = 0; i < modules_.size(); ++i) {
    if (!modules_[i].is_block) continue;
    const runtime::Scope scope(*device_, modules_[i].name);
    map = forwards_[i](map);
    features->emplace(modules_[i].name, read(map, items));
  }
  return features->at(latest_);
}

FeatureMap ClassifierModel::upload_features(const HostTensor& x, const HostTensor& inputs) {
  const Shape& shape = x.shape;
  base::require(shape.rank() >= 2 && shape.rank() <= 4 && shape.volume() > 0,
                "[run_module] x must be [N, rows of an item..., C]; received {}", shape);
  const std::int64_t rows_of_item = shape.volume() / shape[0] / shape[-1];
  FeatureMap features{.items = items_of_copy(shape[0])};
  features.extents.assign(shape.extents().begin() + 1, shape.extents().end() - 1);
  if (info_.input == ClassifierInput::TEXTS) features.mask = upload(inputs).mask;
  HostTensor rows = x;
  rows.shape = {1, 1, shape[0] * rows_of_item, shape[-1]};
  const TensorSpec whole{rows.shape, activation(), Layout::TILE, kDramInterleaved};
  features.rows = tensor::from_host(*device_, tensor::rows_of(std::move(rows)), whole,
                                    over_copies(-2, features.items * rows_of_item), "x");
  return features;
}

HostTensor ClassifierModel::run_module(std::string_view name, const HostTensor& x, const HostTensor& inputs) {
  const auto module = std::find_if(modules_.begin(), modules_.end(),
                                   [name](const ClassifierModule& candidate) { return candidate.name == name; });
  base::require(module != modules_.end(), "[run_module] a module of the model is required; received \"{}\"", name);
  const FeatureMap input = module->input == input_name(info_.input) ? upload(x) : upload_features(x, inputs);
  const runtime::Scope scope(*device_, name);
  return read(forwards_[static_cast<std::size_t>(module - modules_.begin())](input), x.shape[0]);
}

} // namespace tessera::nn
