#include "tessera/ops/sampling/draw_token.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "tessera/base/error.hpp"
#include "tessera/runtime/thread_scratch.hpp"

namespace tessera::ops {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Weights are multiples of kWeightStep, so that sums do not depend on the order of their terms: what is kept and drawn
// is what a full sort would give. A token less likely than 2^-34 of the likeliest one weighs nothing.
static_assert(static_cast<double>(kMostLogits) / kernels::kWeightStep <= 0x1p53);

/// A row of logits, the maxima of its blocks, and what turns a logit into its weight: 2^((logit - maximum) * scale).
struct WeightedRow {
  const LogitsRow& row;
  std::span<const float> maxima;
  float maximum;
  float scale;

  double weigh(const float* logits, std::int64_t count, float* weights) const {
    return kernels::kernels().softmax_weights(logits, count, maximum, scale, weights);
  }
};

/// body(first, count, logits, weights, their sum) for all logits, a chunk at a time.
template <typename Body>
void for_each_chunk(const WeightedRow& x, const Body& body) {
  float memory[kLogitsChunk];
  float weights[kLogitsChunk];
  for (std::int64_t first = 0; first < x.row.size(); first += kLogitsChunk) {
    const std::int64_t count = std::min(kLogitsChunk, x.row.size() - first);
    const float* const logits = x.row.read(first, count, memory);
    const double mass = x.weigh(logits, count, weights);
    body(first, count, logits, weights, mass);
  }
}

/// body(first, logits, weights) for the blocks with a logit of at least `threshold`, until it returns false.
template <typename Body>
void for_each_block(const WeightedRow& x, float threshold, const Body& body) {
  float memory[kLogitsBlock];
  float weights[kLogitsBlock];
  for (std::int64_t block = 0; block < std::ssize(x.maxima); ++block) {
    if (x.maxima[static_cast<std::size_t>(block)] < threshold) continue;
    const std::int64_t first = block * kLogitsBlock;
    const float* const logits = x.row.read(first, kLogitsBlock, memory);
    x.weigh(logits, kLogitsBlock, weights);
    if (!body(first, logits, weights)) return;
  }
}

struct Candidate {
  float logit;
  float weight;
  std::int32_t index;
};

/// The ranks: larger logits first, equal ones in the order of their index.
bool ranks_before(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.index < b.index);
}

double mass_of(std::span<const Candidate> candidates) {
  double sum = 0;
  for (const Candidate& candidate : candidates) sum += candidate.weight;
  return sum;
}

/// No candidates yet. The memory is kept from draw to draw and is enough for all logits: a replayed draw allocates
/// nothing.
std::vector<Candidate>& no_candidates(const WeightedRow& x) {
  thread_local std::vector<Candidate> candidates;
  candidates.clear();
  candidates.reserve(static_cast<std::size_t>(x.row.size()));
  return candidates;
}

/// Candidates that include the `count` largest logits, NaN left out: all logits down to the count-th largest of the
/// blocks' maxima, which as many logits reach.
std::span<Candidate> largest(const WeightedRow& x, std::int64_t count) {
  thread_local std::vector<float> order;
  float threshold = -kInfinity;
  if (count < std::ssize(x.maxima)) {
    order.assign(x.maxima.begin(), x.maxima.end());
    std::nth_element(order.begin(), order.begin() + (count - 1), order.end(), std::greater<>());
    threshold = order[static_cast<std::size_t>(count - 1)];
  }
  std::vector<Candidate>& candidates = no_candidates(x);
  for_each_block(x, threshold, [&](std::int64_t first, const float* logits, const float* weights) {
    for (std::int64_t i = 0; i < kLogitsBlock; ++i) {
      if (logits[i] >= threshold) candidates.push_back({logits[i], weights[i], static_cast<std::int32_t>(first + i)});
    }
    return true;
  });
  return candidates;
}

/// The tokens that filters leave: all up to the rank of `last`, and the sum of their weights.
struct Kept {
  Candidate last;
  double mass;
};

/// The fewest candidates, best first, whose weights added to `before` reach `wanted`; at least one. Halves the ranks
/// where the last may be: time proportional to the number of candidates. REQUIRES: all together reach it.
Kept nucleus(std::span<Candidate> candidates, double before, double wanted) {
  while (candidates.size() > 1) {
    const std::size_t half = candidates.size() / 2;
    std::nth_element(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(half), candidates.end(),
                     ranks_before);
    const double mass = mass_of(candidates.first(half));
    if (before + mass >= wanted) {
      candidates = candidates.first(half);
    } else {
      before += mass;
      candidates = candidates.subspan(half);
    }
  }
  return {candidates.front(), before + candidates.front().weight};
}

Kept keep_top_k(const WeightedRow& x, std::int64_t k, double top_p) {
  std::span<Candidate> candidates = largest(x, k);
  if (std::ssize(candidates) > k) {
    std::nth_element(candidates.begin(), candidates.begin() + k, candidates.end(), ranks_before);
    candidates = candidates.first(static_cast<std::size_t>(k));
  }
  return nucleus(candidates, 0, top_p * mass_of(candidates));
}

/// The nucleus of a row where it is too many to sort: sums over levels, equal steps of the logit, say in which one the
/// last token is.
Kept nucleus_by_levels(const WeightedRow& x, double wanted) {
  constexpr std::int32_t kLevels = 1024;
  constexpr float kDeepest = 34; // in powers of two: what lies below weighs nothing
  const auto level_of = [&](float logit) {
    const float level = (x.maximum - logit) * x.scale * (kLevels / kDeepest);
    return level < kLevels - 1 ? static_cast<std::int32_t>(level) : kLevels - 1; // NaN: the last one
  };
  double masses[kLevels] = {};
  for_each_chunk(x, [&](std::int64_t, std::int64_t count, const float* logits, const float* weights, double) {
    for (std::int64_t i = 0; i < count; ++i) masses[level_of(logits[i])] += weights[i];
  });
  std::int32_t level = 0;
  double before = 0;
  while (before + masses[level] < wanted) before += masses[level++];
  std::vector<Candidate>& candidates = no_candidates(x);
  for_each_chunk(x, [&](std::int64_t first, std::int64_t count, const float* logits, const float* weights, double) {
    for (std::int64_t i = 0; i < count; ++i) {
      if (weights[i] > 0 && level_of(logits[i]) == level)
        candidates.push_back({logits[i], weights[i], static_cast<std::int32_t>(first + i)});
    }
  });
  return nucleus(candidates, before, wanted);
}

Kept keep_top_p(const WeightedRow& x, double top_p) {
  double mass = 0;
  for_each_chunk(x, [&](std::int64_t, std::int64_t, const float*, const float*, double sum) { mass += sum; });
  const double wanted = top_p * mass;
  // Mostly a few tokens have nearly all of the mass.
  constexpr std::int64_t kFew = 64;
  const std::span<Candidate> candidates = largest(x, kFew);
  return mass_of(candidates) >= wanted ? nucleus(candidates, 0, wanted) : nucleus_by_levels(x, wanted);
}

/// `unit` of the mass, but less than all of it, to which the product may round up.
double share_of(double mass, double unit) {
  return std::min(unit * mass, mass - kernels::kWeightStep);
}

/// The first of the tokens kept, in the order of the index, at which the weights exceed `unit` of their sum.
std::int32_t pick(const WeightedRow& x, const Kept& kept, double unit) {
  double left = share_of(kept.mass, unit);
  std::int32_t picked = kept.last.index;
  for_each_block(x, kept.last.logit, [&](std::int64_t first, const float* logits, const float* weights) {
    for (std::int64_t i = 0; i < kLogitsBlock; ++i) {
      const auto index = static_cast<std::int32_t>(first + i);
      if (ranks_before(kept.last, {logits[i], weights[i], index})) continue;
      left -= weights[i];
      if (left < 0) {
        picked = index;
        return false;
      }
    }
    return true;
  });
  return picked;
}

/// The same where all are kept.
std::int32_t pick_of_all(const WeightedRow& x, double unit) {
  double masses[kMostLogits / kLogitsChunk];
  double mass = 0;
  for_each_chunk(x, [&](std::int64_t first, std::int64_t, const float*, const float*, double sum) {
    masses[first / kLogitsChunk] = sum;
    mass += sum;
  });
  double left = share_of(mass, unit);
  std::int64_t chunk = 0;
  while (left >= masses[chunk]) left -= masses[chunk++];
  float memory[kLogitsChunk];
  float weights[kLogitsChunk];
  std::int64_t index = chunk * kLogitsChunk;
  const std::int64_t count = std::min(kLogitsChunk, x.row.size() - index);
  x.weigh(x.row.read(index, count, memory), count, weights);
  for (const float* weight = weights; left >= *weight; ++weight, ++index) left -= *weight;
  return static_cast<std::int32_t>(index);
}

/// splitmix64's mixing function (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators").
std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

} // namespace

void require_valid(const SamplingParameters& parameters) {
  base::require(std::isfinite(parameters.temperature) && parameters.temperature >= 0.0F,
                "[sampling] temperature must be a finite number of at least 0; received {}; 0 is greedy",
                parameters.temperature);
  base::require(parameters.top_k >= 0, "[sampling] top_k must be at least 0; received {}; 0 keeps all",
                parameters.top_k);
  base::require(parameters.top_p > 0.0F && parameters.top_p <= 1.0F,
                "[sampling] top_p must be above 0 and at most 1; received {}; 1 keeps all", parameters.top_p);
}

double random_unit(std::uint64_t seed, std::int64_t position) {
  // Number position + 1 of splitmix64's sequence from a state that is the mixed seed: the sequences of neighbouring
  // seeds have nothing in common.
  constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15;
  const std::uint64_t bits = mix(mix(seed + kGolden) + kGolden * (static_cast<std::uint64_t>(position) + 1));
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

std::int32_t draw_token(const LogitsRow& row, std::span<const float> maxima, const SamplingParameters& parameters,
                        std::uint64_t seed, std::int64_t position) {
  require_valid(parameters);
  const std::int64_t best = index_of_largest(row, maxima);
  float value = 0;
  const float maximum = *row.read(best, 1, &value);
  base::require<base::DeviceError>(
      std::isfinite(maximum),
      "[sampling] the largest logit must be finite; received {}; run `tessera bringup` to find the module that breaks",
      maximum);
  if (parameters.temperature == 0.0F) return static_cast<std::int32_t>(best);
  constexpr double kLog2E = 1.4426950408889634;
  const double scale = std::min(kLog2E / parameters.temperature, double{std::numeric_limits<float>::max()});
  const WeightedRow x{row, maxima, maximum, static_cast<float>(scale)};
  const double unit = random_unit(seed, position);
  if (parameters.top_k > 0 && parameters.top_k < row.size())
    return pick(x, keep_top_k(x, parameters.top_k, parameters.top_p), unit);
  if (parameters.top_p < 1.0F) {
    // Read several times: once from the tiles is enough.
    float* const copy = runtime::thread_scratch(row.size());
    const LogitsRow whole(std::span(row.read(0, row.size(), copy), static_cast<std::size_t>(row.size())));
    const WeightedRow y{whole, maxima, maximum, x.scale};
    return pick(y, keep_top_p(y, parameters.top_p), unit);
  }
  return pick_of_all(x, unit);
}

std::int32_t draw_token(std::span<const float> logits, const SamplingParameters& parameters, std::uint64_t seed,
                        std::int64_t position) {
  base::require(!logits.empty() && std::ssize(logits) <= kMostLogits,
                "[sampling] 1 to {} logits are required; received {}", kMostLogits, logits.size());
  const LogitsRow row(logits);
  std::vector<float> maxima(static_cast<std::size_t>(row.blocks()));
  find_maxima(row, 0, maxima);
  return draw_token(row, maxima, parameters, seed, position);
}

} // namespace tessera::ops
