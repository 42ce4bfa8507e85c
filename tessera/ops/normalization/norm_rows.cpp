#include "tessera/ops/normalization/norm_rows.hpp"

#include "tessera/ops/placement.hpp"

#include <algorithm>
#include <cmath>

namespace tessera::ops {

void require_parameters(std::string_view op, const NormParameters& parameters, const Tensor& input) {
  for (const auto& [name, tensor] : {Operand{"weight", parameters.weight}, Operand{"bias", parameters.bias}}) {
    if (!tensor.defined()) continue;
    require_tile(op, name, tensor);
    require_same_device(op, {{"input_tensor", input}, {name, tensor}});
    require_shape(op, name, tensor, {1, 1, 1, input.shape()[-1]});
  }
}

ParameterRows::ParameterRows(const NormParameters& parameters)
    : has_weight_(parameters.weight.defined()), has_bias_(parameters.bias.defined()) {
  if (has_weight_) weight_ = parameters.weight.view();
  if (has_bias_) bias_ = parameters.bias.view();
}

LoadedParameters ParameterRows::load(std::int64_t chip, std::int64_t width, float* memory) const {
  float* const gamma = memory;
  float* const beta = memory + width;
  const auto read = [&](bool present, const DeviceView& view, float otherwise, float* out) {
    if (present) {
      kernels::kernels().load_row(view.tiles(chip), 0, 0, width, out);
    } else {
      std::fill_n(out, width, otherwise);
    }
  };
  read(has_weight_, weight_, 1.0F, gamma);
  read(has_bias_, bias_, 0.0F, beta);
  return {gamma, beta};
}

Tensor norm_output(std::string_view op, const Tensor& input, const Shape& shape, std::optional<DataType> dtype,
                   const std::optional<MemoryConfig>& memory_config) {
  require_float(op, dtype.value_or(input.dtype()));
  return Tensor::allocate(input.device(),
                          placed({shape, dtype.value_or(input.dtype()), Layout::TILE, {}}, input, memory_config), op);
}

float rms_scale(double sum_of_squares, std::int64_t width, float epsilon) {
  const auto mean = static_cast<float>(sum_of_squares / static_cast<double>(width));
  return 1.0F / std::sqrt(mean + epsilon);
}

MeanAndScale mean_and_scale(const kernels::Moments& moments, std::int64_t width, float epsilon) {
  const double mean = moments.sum / static_cast<double>(width);
  const double variance = std::max(moments.sum_of_squares / static_cast<double>(width) - mean * mean, 0.0);
  return {mean, static_cast<float>(1.0 / std::sqrt(variance + double{epsilon}))};
}

} // namespace tessera::ops
