#pragma once

#include <cstdint>
#include <random>
#include <span>

namespace tessera::generate {

/// How the next token is drawn from logits. The filters apply in the order of Hugging Face: temperature, top-k, top-p.
struct SamplingOptions {
  double temperature = 0.0; ///< logits are divided by it; 0: greedy, the other options are not used
  std::int64_t top_k = 0;   ///< keep the k largest logits; 0: all
  double top_p = 1.0;       ///< keep the fewest tokens whose probabilities sum to at least this; 1: all
  std::uint64_t seed = 0;
};

/// Draws the tokens of one user. The same options and logits give the same tokens, on every host.
class Sampler {
 public:
  /// Throws InvalidArgument for options out of range.
  explicit Sampler(const SamplingOptions& options);

  /// `logits` is [V]. Of equal logits the lowest index ranks first. Throws DeviceError when no logit is finite or one
  /// is +infinity: the model is broken, and any token would hide it.
  std::int32_t sample(std::span<const float> logits);

 private:
  SamplingOptions options_;
  std::mt19937_64 random_; // its sequence is fixed by the C++ standard; the standard's distributions are not
};

} // namespace tessera::generate
