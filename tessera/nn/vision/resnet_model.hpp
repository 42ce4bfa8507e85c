#pragma once

#include <memory>
#include <vector>

#include "tessera/nn/linear.hpp"
#include "tessera/nn/vision/conv.hpp"
#include "tessera/nn/vision/resnet_config.hpp"
#include "tessera/nn/vision/vision_model.hpp"

namespace tessera::nn {

/// A ResNet on a mesh, its batch norms folded into its convolutions. Formats by nn::Precision: the convolutions of
/// block i are `wqkv` of layer i, all blocks counted, the classifier is `lm_head`, biases are `norm`.
class ResNetModel final : public VisionModel {
 public:
  /// Throws IoError for tensors that are missing or misshapen, OutOfMemory when the card is too small.
  ResNetModel(std::shared_ptr<runtime::MeshDevice> device, const ResNetConfig& config, const ResNetNames& names,
              const WeightLoader& weights, const Precision& precision);

 private:
  struct Block {
    std::vector<Conv> convolutions;
    Conv shortcut; ///< without a weight: the input itself
  };

  Conv load(const WeightLoader& weights, const ConvNames& names, const ResNetConv& shape, DataType dtype) const;
  Conv load_stem(const WeightLoader& weights, const ConvNames& names) const;
  FeatureMap run(const Block& block, const FeatureMap& x) const;
  void append_blocks(const ResNetNames& names, const WeightLoader& weights);
  void append_block(const std::string& name, std::shared_ptr<const Block> block);

  ResNetConfig config_;
};

} // namespace tessera::nn
