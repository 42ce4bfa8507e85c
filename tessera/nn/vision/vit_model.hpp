#pragma once

#include <memory>
#include <string>

#include "tessera/nn/linear.hpp"
#include "tessera/nn/vision/vision_model.hpp"
#include "tessera/nn/vision/vit_config.hpp"

namespace tessera::nn {

/// A vision transformer on a mesh, under the tensor names of Hugging Face's ViTForImageClassification. Formats by
/// nn::Precision: attention's projections are `wqkv` and `wo`, the MLP's `ff1_3` and `ff2`, patches are projected in
/// `embedding`, the classifier is `lm_head`; norms, biases, class token and positions are `norm`.
///
/// With tensor parallelism (Shoeybi et al., "Megatron-LM") the chips of a mesh row share heads and MLP width: QKV and
/// the MLP's first projection are cut by columns, the projections behind them by rows, whose products are summed over
/// the row of chips. Tokens, norms and the classifier are whole on every chip.
class VitModel final : public VisionModel {
 public:
  /// Throws IoError for tensors that are missing or misshapen, OutOfMemory when the card is too small. REQUIRES: the
  /// chips of a copy divide the heads and, when they are several, are the columns of the mesh.
  VitModel(std::shared_ptr<runtime::MeshDevice> device, const VitConfig& config, const WeightLoader& weights,
           const Precision& precision, std::int64_t tensor_parallel = 1);

 private:
  struct LayerNorm {
    Tensor weight; ///< [1, 1, 1, E]
    Tensor bias;
  };
  struct Layer {
    LayerNorm norm_before;
    Linear qkv;
    Linear output;
    LayerNorm norm_after;
    Linear up;
    Linear down;
  };

  /// Rows of a weight, or its columns, that a chip holds: by its place in its row of the mesh.
  using RangeOfPlace = std::function<TensorParallel::Range(std::int64_t)>;

  /// rows(place) for every chip, and which chips hold the same.
  MeshRows of_places(const std::function<HostRows(std::int64_t)>& rows) const;
  runtime::Sharing sharing_of_places() const;
  TensorParallel::Range heads_of(std::int64_t place) const; ///< as elements of the hidden width
  TensorParallel::Range mlp_of(std::int64_t place) const;   ///< of the MLP's width; may reach beyond its end

  LayerNorm load_norm(const WeightLoader& weights, const std::string& name) const;
  Linear load_linear(const WeightLoader& weights, const std::string& name, std::int64_t outputs, std::int64_t inputs,
                     DataType dtype) const;
  Linear load_column_parallel(const WeightLoader& weights, const std::string& name, std::int64_t outputs,
                              std::int64_t inputs, const RangeOfPlace& range, DataType dtype) const;
  Linear load_row_parallel(const WeightLoader& weights, const std::string& name, std::int64_t outputs,
                           std::int64_t inputs, const RangeOfPlace& range, DataType dtype) const;
  Linear load_qkv(const WeightLoader& weights, const std::string& prefix, DataType dtype) const;
  Layer load_layer(const WeightLoader& weights, std::int64_t number) const;
  void append_embeddings(const WeightLoader& weights);
  void append_layer(const std::string& name, const Layer& layer);

  FeatureMap with_rows(const FeatureMap& x, Tensor rows) const { return {std::move(rows), x.images, x.extents}; }
  Tensor normalize(const Tensor& x, const LayerNorm& norm) const;
  Tensor attend(const Tensor& x, const Layer& layer, std::int64_t images) const;
  Tensor feed_forward(const Tensor& x, const Layer& layer) const;
  Tensor project(const Tensor& x, const Linear& linear, ops::Activation activation = ops::Activation::NONE) const;
  /// The sum of what the chips of a copy give.
  Tensor sum_chips(const Tensor& partial) const;

  VitConfig config_;
};

} // namespace tessera::nn
