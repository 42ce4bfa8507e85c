#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tessera/nn/classifier/classifier.hpp"
#include "tessera/nn/precision.hpp"
#include "tessera/nn/weights.hpp"
#include "tessera/runtime/mesh_device.hpp"
#include "tessera/tensor/mesh.hpp"

namespace tessera::nn {

/// Images or texts on their way through a model, each copy of it with its share of them: the rows of an item one after
/// the other, pixels or tokens.
struct FeatureMap {
  /// [1, 1, N * rows of an item, C]; of pixel values [N, C, H, W] in ROW_MAJOR, of texts their ids [1, 1, N S] INT32
  Tensor rows;
  std::int64_t items = 1;            ///< N, of one copy
  std::vector<std::int64_t> extents; ///< of an item's rows: {H, W}, {tokens} or {}
  Tensor types = {};                 ///< of texts that come in: [1, 1, N S] INT32
  Tensor mask = {};                  ///< of texts: ops::AttentionOptions::attn_mask

  std::int64_t height() const { return extents.at(0); }
  std::int64_t width() const { return extents.at(1); }
  /// The same items, other rows.
  FeatureMap with_rows(Tensor other) const { return {std::move(other), items, extents, {}, mask}; }
};

/// A classifier on a mesh: a chain of named blocks. Every chip, or row of chips that share its layers, holds a copy of
/// the weights and takes its share of the items. VisionModel and TextModel say how inputs come in; a family's model
/// appends its blocks.
class ClassifierModel : public Classifier {
 public:
  const ClassifierInfo& info() const override { return info_; }
  HostTensor forward(const HostTensor& inputs, Features* features) override;
  const std::vector<ClassifierModule>& modules() const override { return modules_; }
  HostTensor run_module(std::string_view name, const HostTensor& x, const HostTensor& inputs) override;

  /// The forward pass on the device, without reading back: what record mode and traces run. Logits [1, 1, N, classes].
  FeatureMap forward(FeatureMap inputs);
  /// Inputs on the device; N is rounded up to a multiple of the copies by items of zeros.
  FeatureMap upload(const HostTensor& inputs);
  /// Memory for so many items of each copy, not initialised. `extents` are those of the inputs of an item: {C, H, W},
  /// {kTextRows, S}. Throws InvalidArgument for those that the model does not take.
  virtual FeatureMap allocate_inputs(std::int64_t items_of_copy, std::span<const std::int64_t> extents) const = 0;
  /// The same into memory that is there, of at least as many items; those beyond are zeros. Throws InvalidArgument for
  /// inputs of other extents or values.
  virtual void write_inputs(const FeatureMap& memory, const HostTensor& inputs) const = 0;
  /// The first `items` items of all copies.
  HostTensor read(const FeatureMap& features, std::int64_t items) const;
  /// The same without waiting, its rows in a matrix.
  tensor::Read<HostTensor> begin_read(const FeatureMap& features, std::int64_t items) const;
  /// Chips that share the layers of a copy, and copies.
  std::int64_t tensor_parallel() const { return tensor_parallel_; }
  std::int64_t copies() const { return device_->chips() / tensor_parallel_; }
  /// Items that a copy takes of so many.
  std::int64_t items_of_copy(std::int64_t items) const { return div_up(items, copies()); }

  runtime::MeshDevice& device() const { return *device_; }
  const std::shared_ptr<runtime::MeshDevice>& shared_device() const { return device_; }
  const Precision& precision() const { return precision_; }
  const std::vector<Tensor>& weights() const { return weights_; }

 protected:
  using Forward = std::function<FeatureMap(const FeatureMap&)>;

  /// REQUIRES: with tensor_parallel > 1 the mesh has so many columns.
  ClassifierModel(std::shared_ptr<runtime::MeshDevice> device, Precision precision, ClassifierInfo info,
                  std::int64_t tensor_parallel = 1);
  /// How dimension `dim` of a tensor of items, so much of it for each copy, is spread over the mesh.
  tensor::MeshMapper over_copies(int dim, std::int64_t of_copy) const;
  /// The name of the latest block, the inputs' before the first.
  const std::string& latest() const { return latest_; }
  void append(std::string name, Forward forward);
  /// A piece of the block to come, for run_module alone.
  void add_piece(std::string name, std::string input, Forward forward);
  void keep(const WeightLoader& weights) { weights_ = weights.loaded(); }
  DataType activation() const { return precision_.activation; }

 private:
  FeatureMap upload_features(const HostTensor& x, const HostTensor& inputs);

  std::shared_ptr<runtime::MeshDevice> device_;
  Precision precision_;
  ClassifierInfo info_;
  std::int64_t tensor_parallel_;
  std::vector<ClassifierModule> modules_;
  std::vector<Forward> forwards_; ///< of modules_
  std::string latest_;
  std::vector<Tensor> weights_;
};

} // namespace tessera::nn
