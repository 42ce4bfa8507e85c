#include <cmath>
#include <numbers>

#include "tessera/reference/decoder_description.hpp"

namespace tessera::reference {
namespace {

/// Llama 3.1's stretch (transformers, _compute_llama3_parameters): wavelengths beyond the original context are
/// stretched by `factor`, short ones kept, those between interpolated.
float llama3_frequency(float frequency, const RotaryScaling& scaling) {
  const double wavelength = 2.0 * std::numbers::pi / frequency;
  const double longest_kept = scaling.original_max_positions / scaling.high_freq_factor;
  const double shortest_stretched = scaling.original_max_positions / scaling.low_freq_factor;
  if (wavelength < longest_kept) return frequency;
  if (wavelength > shortest_stretched) return static_cast<float>(frequency / scaling.factor);
  const double smooth = (scaling.original_max_positions / wavelength - scaling.low_freq_factor) /
                        (scaling.high_freq_factor - scaling.low_freq_factor);
  return static_cast<float>((1.0 - smooth) * frequency / scaling.factor + smooth * frequency);
}

/// YaRN's stretch (transformers, _compute_yarn_parameters): pairs that turn often in the original context stay, those
/// that turn seldom are stretched by `factor`, those between blended.
float yarn_frequency(float power, std::int64_t pair, const DecoderDescription& model) {
  const RotaryScaling& scaling = model.rotary_scaling;
  const double dim = static_cast<double>(model.rotary_dim), log_base = std::log(model.rope_theta);
  const auto correction = [&](double rotations) {
    return dim * std::log(scaling.original_max_positions / (rotations * 2.0 * std::numbers::pi)) / (2.0 * log_base);
  };
  double begin = correction(scaling.beta_fast), end = correction(scaling.beta_slow);
  if (scaling.whole_pairs) begin = std::floor(begin), end = std::ceil(end);
  begin = std::fmax(begin, 0.0);
  end = std::fmin(end, dim - 1.0);
  if (begin == end) end += 0.001;
  const float ramp = (static_cast<float>(pair) - static_cast<float>(begin)) / static_cast<float>(end - begin);
  const float kept = 1.0F - std::fmin(std::fmax(ramp, 0.0F), 1.0F);
  return (1.0F / (static_cast<float>(scaling.factor) * power)) * (1.0F - kept) + (1.0F / power) * kept;
}

} // namespace

std::vector<float> inverse_frequencies(const DecoderDescription& model, std::int64_t length) {
  using Kind = RotaryScaling::Kind;
  const RotaryScaling& scaling = model.rotary_scaling;
  const bool is_long = static_cast<double>(length) > scaling.original_max_positions;
  std::vector<float> frequencies;
  for (std::int64_t i = 0; i < model.rotary_dim; i += 2) {
    // The exponent is rounded to fp32, as the original computes it: at position 100000 that rounding moves the angle.
    const float exponent = static_cast<float>(i) / static_cast<float>(model.rotary_dim);
    const float power = std::pow(static_cast<float>(model.rope_theta), exponent);
    float frequency = 1.0F / power;
    if (scaling.kind == Kind::LINEAR) frequency = static_cast<float>(frequency / scaling.factor);
    if (scaling.kind == Kind::LLAMA3) frequency = llama3_frequency(frequency, scaling);
    if (scaling.kind == Kind::YARN) frequency = yarn_frequency(power, i / 2, model);
    if (scaling.kind == Kind::LONG) {
      const double factor = (is_long ? scaling.long_factors : scaling.short_factors)[static_cast<std::size_t>(i / 2)];
      frequency = 1.0F / (static_cast<float>(factor) * power);
    }
    frequencies.push_back(frequency);
  }
  return frequencies;
}

} // namespace tessera::reference
