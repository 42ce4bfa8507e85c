#pragma once

// Private to the reference: `reference.hpp` is what others use. Shows libtorch.

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/nn/vision/image_classifier.hpp"

namespace tessera::reference {

/// Image classifiers in fp32 on libtorch: a chain of named blocks over images [N, C, H, W] or tokens [N, S, E].
class VisionReference : public nn::ImageClassifier {
 public:
  const nn::ImageClassifierInfo& info() const override { return info_; }
  nn::HostTensor forward(const nn::HostTensor& pixel_values, nn::VisionFeatures* features) override;
  const std::vector<nn::VisionModule>& modules() const override { return modules_; }
  nn::HostTensor run_module(std::string_view name, const nn::HostTensor& x) override;

 protected:
  using Forward = std::function<at::Tensor(const at::Tensor&)>;

  explicit VisionReference(const checkpoint::Checkpoint& checkpoint) : checkpoint_(checkpoint) {}
  void append(std::string name, Forward forward);
  void add_piece(std::string name, std::string input, Forward forward);
  const std::string& latest() const { return latest_; }

  bool has(const std::string& name) const { return checkpoint_.contains(name); }
  /// A weight widened to fp32. Throws IoError when it is absent.
  at::Tensor weight(const std::string& name) const;
  const checkpoint::Checkpoint& checkpoint() const { return checkpoint_; }

  nn::ImageClassifierInfo info_;

 private:
  void require_pixels(const nn::HostTensor& pixel_values) const;

  checkpoint::Checkpoint checkpoint_;
  std::vector<nn::VisionModule> modules_;
  std::vector<Forward> forwards_;
  std::string latest_ = "pixel_values";
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
  at::Tensor linear(const at::Tensor& x, const std::string& name) const;
  at::Tensor norm(const at::Tensor& x, const std::string& name) const;
  at::Tensor attention(const at::Tensor& x, const std::string& layer) const;
  at::Tensor mlp(const at::Tensor& x, const std::string& layer) const;

  std::int64_t heads_ = 1;
  double norm_eps_ = 1e-12;
  std::string activation_ = "gelu";
};

} // namespace tessera::reference
