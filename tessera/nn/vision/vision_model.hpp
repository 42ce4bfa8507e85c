#pragma once

#include "tessera/nn/classifier/classifier_model.hpp"

namespace tessera::nn {

/// A classifier of images [N, C, H, W].
class VisionModel : public ClassifierModel {
 public:
  FeatureMap allocate_inputs(std::int64_t items_of_copy, std::span<const std::int64_t> extents) const override;
  void write_inputs(const FeatureMap& memory, const HostTensor& inputs) const override;

 protected:
  using ClassifierModel::ClassifierModel;
};

} // namespace tessera::nn
