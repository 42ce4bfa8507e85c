#include "tessera/generate/sampling.hpp"

#include <algorithm>
#include <limits>

namespace tessera::generate {
namespace {

/// As fp32, the device's format. A top_p too small for it is the smallest that there is: it keeps one token too.
ops::SamplingParameters parameters_of(const SamplingOptions& options) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  constexpr double kLeast = std::numeric_limits<float>::min();
  return {.temperature = static_cast<float>(options.temperature),
          .top_k = static_cast<std::int32_t>(std::clamp(options.top_k, std::int64_t{-1}, kMost)),
          .top_p = static_cast<float>(options.top_p > 0.0 ? std::max(options.top_p, kLeast) : options.top_p)};
}

} // namespace

Sampler::Sampler(const SamplingOptions& options) : parameters_(parameters_of(options)), seed_(options.seed) {
  ops::require_valid(parameters_);
}

} // namespace tessera::generate
