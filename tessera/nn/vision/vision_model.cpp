#include "tessera/nn/vision/vision_model.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"

namespace tessera::nn {
namespace {

constexpr std::string_view kPixels = "pixel_values";

/// [N, rows of an image..., C] of a tensor [1, 1, N * rows of an image, C].
Shape host_shape(const FeatureMap& features, std::int64_t images) {
  std::vector<std::int64_t> extents{images};
  extents.insert(extents.end(), features.extents.begin(), features.extents.end());
  extents.push_back(features.rows.shape()[-1]);
  return Shape(extents);
}

} // namespace

VisionModel::VisionModel(std::shared_ptr<runtime::MeshDevice> device, Precision precision, ImageClassifierInfo info,
                         std::int64_t tensor_parallel)
    : device_(std::move(device)),
      precision_(std::move(precision)),
      info_(std::move(info)),
      tensor_parallel_(tensor_parallel) {}

tensor::MeshMapper VisionModel::over_copies(int dim, std::int64_t of_copy) const {
  if (tensor_parallel_ == 1) return tensor::shard_tensor_to_mesh(dim, of_copy);
  return tensor::shard_tensor_2d_mesh(tensor::MeshCut{dim, of_copy}, std::nullopt);
}

void VisionModel::append(std::string name, Forward forward) {
  modules_.push_back({.name = name, .input = latest_});
  forwards_.push_back(std::move(forward));
  latest_ = std::move(name);
}

void VisionModel::add_piece(std::string name, std::string input, Forward forward) {
  modules_.push_back({.name = std::move(name), .input = std::move(input), .is_block = false});
  forwards_.push_back(std::move(forward));
}

FeatureMap VisionModel::allocate_pixels(std::int64_t images_of_copy, std::int64_t height, std::int64_t width) const {
  base::require(images_of_copy > 0 && height > 0 && width > 0 &&
                    (info_.any_image_size || (height == info_.image_size && width == info_.image_size)),
                "[{}] images of {}x{} pixels are required; received {} of {}x{}", info_.family, info_.image_size,
                info_.image_size, images_of_copy, height, width);
  const TensorSpec spec{{images_of_copy, info_.channels, height, width},
                        activation() == DataType::FLOAT32 ? DataType::FLOAT32 : DataType::BFLOAT16,
                        Layout::ROW_MAJOR,
                        kDramInterleaved};
  return {Tensor::allocate(*device_, spec, kPixels), images_of_copy, {height, width}};
}

FeatureMap VisionModel::upload(const HostTensor& pixel_values) {
  const Shape& shape = pixel_values.shape;
  base::require(shape.rank() == 4 && shape[0] > 0 && shape[1] == info_.channels,
                "[{}] pixel_values must be [N, {}, H, W]; received {}", info_.family, info_.channels, shape);
  FeatureMap pixels = allocate_pixels(images_of_copy(shape[0]), shape[2], shape[3]);
  write_pixels(pixels, pixel_values);
  return pixels;
}

void VisionModel::write_pixels(const FeatureMap& pixels, const HostTensor& pixel_values) const {
  tensor::write_rows(pixels.rows, tensor::rows_of(pixel_values), pixel_values.shape, over_copies(0, pixels.images));
}

tensor::Read<HostTensor> VisionModel::begin_read(const FeatureMap& features, std::int64_t images) const {
  const Shape shape = host_shape(features, images);
  const tensor::MeshConcat rows{-2, shape.volume() / shape[-1]};
  return tensor::begin_read(
      features.rows, tensor_parallel_ == 1 ? tensor::MeshComposer{.mesh = rows} : tensor::MeshComposer{.rows = rows});
}

HostTensor VisionModel::read(const FeatureMap& features, std::int64_t images) const {
  HostTensor result = begin_read(features, images).get();
  result.shape = host_shape(features, images);
  return result;
}

FeatureMap VisionModel::forward(FeatureMap features) {
  for (std::size_t i = 0; i < modules_.size(); ++i) {
    if (!modules_[i].is_block) continue;
    const runtime::Scope scope(*device_, modules_[i].name);
    features = forwards_[i](features);
  }
  return features;
}

HostTensor VisionModel::forward(const HostTensor& pixel_values, VisionFeatures* features) {
  FeatureMap map = upload(pixel_values);
  const std::int64_t images = pixel_values.shape[0];
  if (features == nullptr) return read(forward(std::move(map)), images);
  features->clear();
  features->emplace(kPixels, pixel_values);
  for (std::size_t i = 0; i < modules_.size(); ++i) {
    if (!modules_[i].is_block) continue;
    const runtime::Scope scope(*device_, modules_[i].name);
    map = forwards_[i](map);
    features->emplace(modules_[i].name, read(map, images));
  }
  return features->at(latest_);
}

HostTensor VisionModel::run_module(std::string_view name, const HostTensor& x) {
  const auto module = std::find_if(modules_.begin(), modules_.end(),
                                   [name](const VisionModule& candidate) { return candidate.name == name; });
  base::require(module != modules_.end(), "[run_module] a module of the model is required; received \"{}\"", name);
  FeatureMap input;
  if (module->input == kPixels) {
    input = upload(x);
  } else {
    const Shape& shape = x.shape;
    base::require(shape.rank() >= 2 && shape.rank() <= 4 && shape.volume() > 0,
                  "[run_module] x must be [N, rows of an image..., C]; received {}", shape);
    const std::int64_t rows_of_image = shape.volume() / shape[0] / shape[-1];
    input.images = images_of_copy(shape[0]);
    input.extents.assign(shape.extents().begin() + 1, shape.extents().end() - 1);
    HostTensor rows = x;
    rows.shape = {1, 1, shape[0] * rows_of_image, shape[-1]};
    const TensorSpec whole{rows.shape, activation(), Layout::TILE, kDramInterleaved};
    input.rows = tensor::from_host(*device_, tensor::rows_of(std::move(rows)), whole,
                                   over_copies(-2, input.images * rows_of_image), "x");
  }
  const runtime::Scope scope(*device_, name);
  return read(forwards_[static_cast<std::size_t>(module - modules_.begin())](input), x.shape[0]);
}

} // namespace tessera::nn
