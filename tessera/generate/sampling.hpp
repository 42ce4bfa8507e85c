#pragma once

#include <cstdint>
#include <span>

#include "tessera/ops/sampling/draw_token.hpp"

namespace tessera::generate {

/// How the next token is drawn from logits. The filters apply in the order of Hugging Face: temperature, top-k, top-p.
struct SamplingOptions {
  double temperature = 0.0; ///< logits are divided by it; 0: greedy, the other options are not used
  std::int64_t top_k = 0;   ///< keep the k largest logits; 0: all
  double top_p = 1.0;       ///< keep the fewest tokens whose probabilities sum to at least this; 1: all
  std::uint64_t seed = 0;
};

/// Draws the tokens of one user. A draw depends on its arguments and the options alone, and is the one that
/// `ops::sampling` makes on the device: the same tokens on every host, on the device and on the reference path.
class Sampler {
 public:
  /// Throws InvalidArgument for options out of range.
  explicit Sampler(const SamplingOptions& options);

  /// `logits` is [V]; `position` is that of the token which was fed to get them. Throws what ops::draw_token does.
  std::int32_t sample(std::span<const float> logits, std::int64_t position) const {
    return ops::draw_token(logits, parameters_, seed_, position);
  }

  /// What `ops::sampling` takes for this user.
  const ops::SamplingParameters& parameters() const { return parameters_; }
  std::uint64_t seed() const { return seed_; }

 private:
  ops::SamplingParameters parameters_;
  std::uint64_t seed_;
};

} // namespace tessera::generate
