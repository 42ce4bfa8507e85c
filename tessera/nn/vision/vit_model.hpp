#pragma once

#include <memory>
#include <string>

#include "tessera/nn/classifier/encoder_layer.hpp"
#include "tessera/nn/vision/vision_model.hpp"
#include "tessera/nn/vision/vit_config.hpp"

namespace tessera::nn {

/// A vision transformer on a mesh, under the tensor names of Hugging Face's ViTForImageClassification. Formats by
/// nn::Precision: attention's projections are `wqkv` and `wo`, the MLP's `ff1_3` and `ff2`, patches are projected in
/// `embedding`, the classifier is `lm_head`; norms, biases, class token and positions are `norm`.
class VitModel final : public VisionModel {
 public:
  /// Throws IoError for tensors that are missing or misshapen, OutOfMemory when the card is too small.
  /// REQUIRES: as Encoder.
  VitModel(std::shared_ptr<runtime::MeshDevice> device, const VitConfig& config, const WeightLoader& weights,
           const Precision& precision, std::int64_t tensor_parallel = 1);

 private:
  EncoderLayer load_layer(const WeightLoader& weights, std::int64_t number) const;
  void append_embeddings(const WeightLoader& weights);
  void append_layer(const std::string& name, const EncoderLayer& layer);

  VitConfig config_;
  Encoder encoder_;
};

} // namespace tessera::nn
