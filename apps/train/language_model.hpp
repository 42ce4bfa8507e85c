#pragma once

#include <vector>

#include "tessera/reference/decoder_parameters.hpp"

namespace tessera::train {

/// A decoder whose weights require gradients. Its layers are the reference's own.
class LanguageModel {
 public:
  /// Normal weights of standard deviation 0.02, those that feed the residual smaller by sqrt(2·L) (GPT-2's rule);
  /// norms 1. Uses libtorch's global generator.
  explicit LanguageModel(const reference::DecoderDescription& description);

  /// ids [B, S] → logits [B, S, V]
  at::Tensor forward(const at::Tensor& ids, double dropout) const;

  const reference::DecoderDescription& description() const { return description_; }
  /// Every weight with its published name; the tensors are this model's own.
  std::vector<reference::Parameter>& parameters() { return parameters_; }
  std::int64_t num_parameters() const;

  LanguageModel(const LanguageModel&) = delete; // parameters_ points into this object
  LanguageModel& operator=(const LanguageModel&) = delete;

 private:
  reference::DecoderDescription description_;
  reference::OuterWeights outer_;
  std::vector<reference::LayerWeights> layers_;
  std::vector<reference::Parameter> parameters_;
};

} // namespace tessera::train
