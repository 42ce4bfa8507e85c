#include "tessera/generate/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/metrics/logits.hpp"

namespace tessera::generate {
namespace {

/// Indices of the `count` largest logits, largest first, equal ones in index order. NaN ranks last.
std::vector<std::int32_t> largest(std::span<const float> logits, std::size_t count) {
  std::vector<std::int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto value = [&](std::int32_t i) {
    const float logit = logits[static_cast<std::size_t>(i)];
    return std::isnan(logit) ? -INFINITY : logit;
  };
  const auto before = [&](std::int32_t a, std::int32_t b) {
    return value(a) > value(b) || (value(a) == value(b) && a < b);
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(), before);
  order.resize(count);
  return order;
}

/// exp((logit - maximum) / temperature) of each candidate; NaN weighs nothing. [candidates]
std::vector<double> weights_of(std::span<const float> logits, std::span<const std::int32_t> candidates,
                               double temperature) {
  const double maximum = logits[static_cast<std::size_t>(candidates.front())];
  std::vector<double> weights;
  weights.reserve(candidates.size());
  for (const std::int32_t id : candidates) {
    const double logit = logits[static_cast<std::size_t>(id)];
    weights.push_back(std::isnan(logit) ? 0.0 : std::exp((logit - maximum) / temperature));
  }
  return weights;
}

/// How many of the leading weights reach the share `top_p` of all; at least one.
std::size_t nucleus(std::span<const double> weights, double top_p) {
  const double wanted = top_p * std::accumulate(weights.begin(), weights.end(), 0.0);
  double sum = 0.0;
  std::size_t count = 0;
  while (count < weights.size() && (count == 0 || sum < wanted)) sum += weights[count++];
  return count;
}

} // namespace

Sampler::Sampler(const SamplingOptions& options) : options_(options), random_(options.seed) {
  base::require(std::isfinite(options.temperature) && options.temperature >= 0.0,
                "[sample] temperature must be a finite number of at least 0; received {}; 0 is greedy",
                options.temperature);
  base::require(options.top_k >= 0, "[sample] top_k must be at least 0; received {}; 0 keeps all", options.top_k);
  base::require(options.top_p > 0.0 && options.top_p <= 1.0,
                "[sample] top_p must be above 0 and at most 1; received {}; 1 keeps all", options.top_p);
}

std::int32_t Sampler::sample(std::span<const float> logits) {
  base::require(!logits.empty(), "[sample] logits must not be empty; received none");
  const std::size_t best = metrics::argmax(logits);
  base::require<base::DeviceError>(std::isfinite(logits[best]),
                                   "[sample] the largest logit must be finite; received {}; run `tessera bringup` to "
                                   "find the module that breaks",
                                   logits[best]);
  if (options_.temperature == 0.0) return static_cast<std::int32_t>(best);

  const std::size_t count =
      options_.top_k == 0 ? logits.size() : std::min(logits.size(), static_cast<std::size_t>(options_.top_k));
  const std::vector<std::int32_t> candidates = largest(logits, count);
  std::vector<double> weights = weights_of(logits, candidates, options_.temperature);
  if (options_.top_p < 1.0) weights.resize(nucleus(weights, options_.top_p));

  const double unit = static_cast<double>(random_() >> 11) * 0x1p-53; // 53 random bits, in [0, 1)
  double left = unit * std::accumulate(weights.begin(), weights.end(), 0.0);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    left -= weights[i];
    if (left < 0.0) return candidates[i];
  }
  return candidates.front(); // rounding left a crumb: the likeliest token stands in
}

} // namespace tessera::generate
