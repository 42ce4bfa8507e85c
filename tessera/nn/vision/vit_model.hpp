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
class VitModel final : public VisionModel {
 public:
  /// Throws IoError for tensors that are missing or misshapen, OutOfMemory when the card is too small.
  VitModel(std::shared_ptr<runtime::MeshDevice> device, const VitConfig& config, const WeightLoader& weights,
           const Precision& precision);

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

  LayerNorm load_norm(const WeightLoader& weights, const std::string& name) const;
  Linear load_linear(const WeightLoader& weights, const std::string& name, std::int64_t outputs, std::int64_t inputs,
                     DataType dtype) const;
  Linear load_qkv(const WeightLoader& weights, const std::string& prefix, DataType dtype) const;
  Layer load_layer(const WeightLoader& weights, std::int64_t number) const;
  void append_embeddings(const WeightLoader& weights);
  void append_layer(const std::string& name, const Layer& layer);

  FeatureMap with_rows(const FeatureMap& x, Tensor rows) const { return {std::move(rows), x.images, x.extents}; }
  Tensor normalize(const Tensor& x, const LayerNorm& norm) const;
  Tensor attend(const Tensor& x, const Layer& layer, std::int64_t images) const;
  Tensor feed_forward(const Tensor& x, const Layer& layer) const;
  Tensor project(const Tensor& x, const Linear& linear, ops::Activation activation = ops::Activation::NONE) const;

  VitConfig config_;
};

} // namespace tessera::nn
