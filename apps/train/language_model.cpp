#include "apps/train/language_model.hpp"

#include <ATen/ATen.h>

#include <cmath>

namespace tessera::train {
namespace {

at::Tensor initial_weight(const reference::Parameter& parameter, std::int64_t layers) {
  if (parameter.shape.size() == 1) return at::ones(parameter.shape);
  const bool feeds_residual =
      parameter.name.find("o_proj") != std::string::npos || parameter.name.find("down_proj") != std::string::npos;
  const double deviation = feeds_residual ? 0.02 / std::sqrt(2.0 * static_cast<double>(layers)) : 0.02;
  return at::randn(parameter.shape) * deviation;
}

} // namespace

LanguageModel::LanguageModel(const reference::DecoderDescription& description)
    : description_(description), layers_(static_cast<std::size_t>(description.layers)) {
  parameters_ = reference::outer_parameters(description_, outer_);
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    for (const reference::Parameter& parameter :
         reference::layer_parameters(description_, static_cast<std::int64_t>(layer), layers_[layer])) {
      parameters_.push_back(parameter);
    }
  }
  for (const reference::Parameter& parameter : parameters_) {
    *parameter.tensor = initial_weight(parameter, description_.layers).set_requires_grad(true);
  }
}

at::Tensor LanguageModel::forward(const at::Tensor& ids, double dropout) const {
  const reference::RotaryTable rotary = reference::rotary_table(description_, 0, ids.size(1));
  at::Tensor x = at::embedding(outer_.embedding, ids);
  if (dropout > 0.0) x = at::dropout(x, dropout, /*train=*/true);
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    x = reference::decoder_layer(
        x, layers_[layer],
        {.model = description_, .rotary = rotary, .window = description_.windows[layer], .dropout = dropout});
  }
  x = reference::norm(x, outer_.final_norm, description_);
  return at::linear(x, description_.tied ? outer_.embedding : outer_.lm_head);
}

std::int64_t LanguageModel::num_parameters() const {
  std::int64_t count = 0;
  for (const reference::Parameter& parameter : parameters_) count += parameter.tensor->numel();
  return count;
}

} // namespace tessera::train
