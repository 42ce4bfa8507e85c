#pragma once

// Private to the reference: `reference.hpp` is what others use. Shows libtorch.

#include <string>

#include "tessera/reference/classifier_reference.hpp"

namespace tessera::reference {

/// Image classifiers.
class VisionReference : public ClassifierReference {
 protected:
  explicit VisionReference(const checkpoint::Checkpoint& checkpoint)
      : ClassifierReference(checkpoint, nn::ClassifierInput::IMAGES) {}
  at::Tensor take(const nn::HostTensor& inputs) override;
};

/// He et al., "Deep Residual Learning for Image Recognition", under torchvision's or Hugging Face's names; batch norms
/// are computed as they stand. What the tensors' names and shapes tell is taken from there.
class ResNetReference final : public VisionReference {
 public:
  explicit ResNetReference(const checkpoint::Checkpoint& checkpoint);

 private:
  struct Conv {
    at::Tensor weight;
    at::Tensor gamma, beta, mean, variance;
    std::int64_t stride = 1;
    std::int64_t groups = 1;
  };

  Conv conv(const std::string& convolution, const std::string& norm, std::int64_t inputs, std::int64_t stride) const;
  at::Tensor apply(const Conv& conv, const at::Tensor& x, bool activate) const;
  void append_block(const std::string& name, std::int64_t stage, std::int64_t block, std::int64_t stride);

  bool hugging_face_;
  std::string activation_ = "relu";
  bool stride_first_ = false; // of a bottleneck: in its first convolution
};

/// Dosovitskiy et al., "An Image is Worth 16x16 Words", under Hugging Face's names.
class VitReference final : public VisionReference {
 public:
  explicit VitReference(const checkpoint::Checkpoint& checkpoint);

 private:
  void append_layer(std::int64_t number);
  at::Tensor norm(const at::Tensor& x, const std::string& name) const;
  at::Tensor attention(const at::Tensor& x, const std::string& layer) const;
  at::Tensor mlp(const at::Tensor& x, const std::string& layer) const;

  std::int64_t heads_ = 1;
  double norm_eps_ = 1e-12;
  std::string activation_ = "gelu";
};

} // namespace tessera::reference
