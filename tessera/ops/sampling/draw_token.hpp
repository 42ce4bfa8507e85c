#pragma once

#include <cstdint>
#include <span>

#include "tessera/ops/sampling/logits_row.hpp"

namespace tessera::ops {

/// How a token is drawn from logits. The filters apply in the order of Hugging Face: temperature, top-k, top-p.
struct SamplingParameters {
  float temperature = 0.0F; ///< logits are divided by it; 0: greedy, the other two are not used
  std::int32_t top_k = 0;   ///< keep the k largest logits; 0: all
  float top_p = 1.0F;       ///< keep the fewest tokens whose probabilities sum to at least this; 1: all
};

/// Throws InvalidArgument for a temperature that is negative or not finite, a negative top_k and a top_p outside (0,
/// 1].
void require_valid(const SamplingParameters& parameters);

/// Most logits of a row: the sums of their weights are exact.
inline constexpr std::int64_t kMostLogits = std::int64_t{1} << 20;

/// A token's id. Of equal logits the lower index ranks first; NaN ranks last and is never drawn. The random number is a
/// hash of `seed` and `position`, that of the token which was fed to get these logits, so that a draw depends on
/// nothing that went before. The same arguments give the same token on every host.
///
/// Throws DeviceError when the largest logit is not finite: the model is broken, and any token would hide it. Throws
/// InvalidArgument for parameters out of range, no logits or more than kMostLogits.
std::int32_t draw_token(std::span<const float> logits, const SamplingParameters& parameters, std::uint64_t seed,
                        std::int64_t position);
/// The same for a row whose blocks' maxima are known.
std::int32_t draw_token(const LogitsRow& row, std::span<const float> maxima, const SamplingParameters& parameters,
                        std::uint64_t seed, std::int64_t position);

/// The random number of a draw: a multiple of 2^-53 in [0, 1).
double random_unit(std::uint64_t seed, std::int64_t position);

} // namespace tessera::ops
