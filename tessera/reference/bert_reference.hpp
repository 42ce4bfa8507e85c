#pragma once

// Private to the reference: `reference.hpp` is what others use. Shows libtorch.

#include <string>

#include "tessera/reference/classifier_reference.hpp"

namespace tessera::reference {

/// Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", as a classifier of texts under Hugging
/// Face's names, with or without "bert." in front; norms may be called gamma and beta. Sizes are those of the tensors.
class BertReference final : public ClassifierReference {
 public:
  explicit BertReference(const checkpoint::Checkpoint& checkpoint);

 private:
  at::Tensor take(const nn::HostTensor& inputs) override;
  void append_layer(std::int64_t number);
  at::Tensor norm(const at::Tensor& x, const std::string& name) const;
  at::Tensor self_attention(const at::Tensor& x, const std::string& layer) const;
  at::Tensor attention(const at::Tensor& x, const std::string& layer) const;
  at::Tensor mlp(const at::Tensor& x, const std::string& layer) const;

  std::string prefix_;
  std::int64_t heads_ = 12;
  double norm_eps_ = 1e-12;
  std::string activation_ = "gelu";
  at::Tensor types_; // of the latest inputs: [N, S]
  at::Tensor mask_;  // of the latest inputs, added to scores: [N, 1, 1, S]
};

} // namespace tessera::reference
