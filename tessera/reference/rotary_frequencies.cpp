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
    if (scaling.kind == Kind::LONG) {
      const double factor = (is_long ? scaling.long_factors : scaling.short_factors)[static_cast<std::size_t>(i / 2)];
      frequency = 1.0F / (static_cast<float>(factor) * power);
    }
    frequencies.push_back(frequency);
  }
  return frequencies;
}

} // namespace tessera::reference
