#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tessera/nn/precision.hpp"
#include "tessera/nn/vision/image_classifier.hpp"
#include "tessera/nn/weights.hpp"
#include "tessera/runtime/mesh_device.hpp"
#include "tessera/tensor/mesh.hpp"

namespace tessera::nn {

/// Images on their way through a model, each copy of it with its share of them: the rows of an image one after the
/// other, pixels or tokens. Chips of one copy hold the same.
struct FeatureMap {
  Tensor rows;                       ///< [1, 1, N * rows of an image, C]; of pixel values [N, C, H, W] in ROW_MAJOR
  std::int64_t images = 1;           ///< N, of one copy of the model
  std::vector<std::int64_t> extents; ///< of an image's rows: {H, W}, {tokens} or {}

  std::int64_t height() const { return extents.at(0); }
  std::int64_t width() const { return extents.at(1); }
};

/// An image classifier on a mesh: a chain of named blocks. Each copy of the model takes its share of the images: data
/// parallel. A copy is one chip, or the chips of a row of the mesh, which share its layers. A family's model appends
/// its blocks.
class VisionModel : public ImageClassifier {
 public:
  const ImageClassifierInfo& info() const override { return info_; }
  HostTensor forward(const HostTensor& pixel_values, VisionFeatures* features) override;
  const std::vector<VisionModule>& modules() const override { return modules_; }
  HostTensor run_module(std::string_view name, const HostTensor& x) override;

  /// The forward pass on the device, without reading back: what record mode and traces run. Logits [1, 1, N, classes].
  FeatureMap forward(FeatureMap pixel_values);
  /// pixel_values [N, C, H, W] on the device; N is rounded up to a multiple of the copies by zero images.
  FeatureMap upload(const HostTensor& pixel_values);
  /// Memory for so many images of each copy, not initialised.
  FeatureMap allocate_pixels(std::int64_t images_of_copy, std::int64_t height, std::int64_t width) const;
  /// The same into memory that is there, of at least as many images; those beyond are zeros.
  void write_pixels(const FeatureMap& pixels, const HostTensor& pixel_values) const;
  /// The first `images` images of all copies.
  HostTensor read(const FeatureMap& features, std::int64_t images) const;
  /// The same without waiting, its rows in a matrix.
  tensor::Read<HostTensor> begin_read(const FeatureMap& features, std::int64_t images) const;
  /// Chips that share the layers of a copy, and copies.
  std::int64_t tensor_parallel() const { return tensor_parallel_; }
  std::int64_t copies() const { return device_->chips() / tensor_parallel_; }
  /// Images that a copy takes of so many.
  std::int64_t images_of_copy(std::int64_t images) const { return div_up(images, copies()); }

  runtime::MeshDevice& device() { return *device_; }
  const std::shared_ptr<runtime::MeshDevice>& shared_device() const { return device_; }
  const Precision& precision() const { return precision_; }
  const std::vector<Tensor>& weights() const { return weights_; }

 protected:
  using Forward = std::function<FeatureMap(const FeatureMap&)>;

  /// REQUIRES: with tensor_parallel > 1 the mesh has so many columns.
  VisionModel(std::shared_ptr<runtime::MeshDevice> device, Precision precision, ImageClassifierInfo info,
              std::int64_t tensor_parallel = 1);
  /// The name of the latest block, "pixel_values" before the first.
  const std::string& latest() const { return latest_; }
  void append(std::string name, Forward forward);
  /// A piece of the block to come, for run_module alone.
  void add_piece(std::string name, std::string input, Forward forward);
  void keep(const WeightLoader& weights) { weights_ = weights.loaded(); }
  DataType activation() const { return precision_.activation; }

 private:
  /// How dimension `dim` of a tensor of images, so much of it for each copy, is spread over the mesh.
  tensor::MeshMapper over_copies(int dim, std::int64_t of_copy) const;

  std::shared_ptr<runtime::MeshDevice> device_;
  Precision precision_;
  ImageClassifierInfo info_;
  std::int64_t tensor_parallel_;
  std::vector<VisionModule> modules_;
  std::vector<Forward> forwards_; ///< of modules_
  std::string latest_ = "pixel_values";
  std::vector<Tensor> weights_;
};

} // namespace tessera::nn
