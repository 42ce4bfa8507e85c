#include <algorithm>
#include <cmath>
#include <numeric>

#include "tessera/reference/ops/golden_call.hpp"

// The next token: the likeliest, or one drawn. Drawn by a sort, as Hugging Face does it: temperature, top-k, top-p.

namespace tessera::reference {
namespace {

// The device's weights of tokens are rounded (within 2^-18 of themselves): a draw this near to the border of two tokens
// may give either.
constexpr double kBorder = 0x1p-17;

struct Parameters {
  double temperature = 0;
  std::int64_t top_k = 0;
  double top_p = 1;
};

std::uint64_t splitmix64(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

/// The random number of a seed and a position: number position + 1 of splitmix64's sequence (Steele et al. 2014) from
/// the seed's first.
double unit_of(std::uint64_t seed, std::int64_t position) {
  constexpr std::uint64_t kStep = 0x9E3779B97F4A7C15U;
  const std::uint64_t first = splitmix64(seed + kStep);
  return std::ldexp(static_cast<double>(splitmix64(first + kStep * static_cast<std::uint64_t>(position + 1)) >> 11),
                    -53);
}

/// Tokens from the likeliest down, the lower id first of equals; NaN last.
std::vector<std::int32_t> ranked(const double* logits, std::int64_t count) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [logits](std::int32_t a, std::int32_t b) {
    if (std::isnan(logits[a]) || std::isnan(logits[b])) return !std::isnan(logits[a]) && std::isnan(logits[b]);
    return logits[a] > logits[b];
  });
  return order;
}

/// The token drawn by `unit`, of those that the filters leave.
std::int32_t draw(const double* logits, std::vector<std::int32_t> order, const Parameters& parameters, double unit) {
  while (order.size() > 1 && std::isnan(logits[order.back()])) order.pop_back();
  const double largest = logits[order.front()];
  const auto weight = [&](std::int32_t id) { return std::exp((logits[id] - largest) / parameters.temperature); };
  if (parameters.top_k > 0 && parameters.top_k < std::ssize(order))
    order.resize(static_cast<std::size_t>(parameters.top_k));
  double mass = 0;
  for (const std::int32_t id : order) mass += weight(id);
  double kept = 0;
  std::size_t count = 0;
  while (count < order.size() && (count == 0 || kept < parameters.top_p * mass)) kept += weight(order[count++]);
  order.resize(count);
  std::sort(order.begin(), order.end());
  double left = unit * kept;
  for (const std::int32_t id : order) {
    left -= weight(id);
    if (left < 0) return id;
  }
  return order.back();
}

GoldenOutputs argmax(const GoldenCall& call) {
  const at::Tensor x = call.input("input_tensor");
  const std::int64_t width = x.size(-1);
  const at::Tensor rows = x.reshape({-1, width}).contiguous();
  GoldenOutput output{.values = {.shape = call.output().shape}};
  for (std::int64_t row = 0; row < rows.size(0); ++row) {
    const double* const own = rows.data_ptr<double>() + row * width;
    std::int32_t best = -1;
    for (std::int32_t i = 0; i < width; ++i) {
      if (!std::isnan(own[i]) && (best < 0 || own[i] > own[best])) best = i;
    }
    output.values.integers.push_back(std::max(best, 0));
  }
  return {std::move(output)};
}

GoldenOutputs sampling(const GoldenCall& call) {
  const at::Tensor logits = call.input("input_tensor");
  const std::int64_t width = logits.size(-1);
  const at::Tensor rows = logits.reshape({-1, width}).contiguous();
  const at::Tensor temperature = call.input("temperature");
  const at::Tensor p = call.input("p");
  const auto k = call.integers("k");
  const auto seeds = call.integers("seed");
  const auto positions = call.integers("positions");
  GoldenOutput output{.values = {.shape = call.output().shape}};
  output.alternatives.resize(4);
  for (std::size_t user = 0; user < positions.size(); ++user) {
    const bool active = positions[user] >= 0; // an idle user's token stays what it is
    output.counts.push_back(active ? 1 : 0);
    const double* const own = rows.data_ptr<double>() + static_cast<std::int64_t>(user) * width;
    const auto order = active ? ranked(own, width) : std::vector<std::int32_t>{0};
    Parameters parameters{temperature.data_ptr<double>()[user], k[user], p.data_ptr<double>()[user]};
    const bool draws = active && parameters.temperature > 0;
    const auto half = [&](std::size_t number) {
      return std::uint64_t{static_cast<std::uint32_t>(seeds[2 * user + number])};
    };
    const double unit = unit_of(half(1) << 32 | half(0), positions[user]);
    output.values.integers.push_back(draws ? draw(own, order, parameters, unit) : order.front());
    for (std::size_t i = 0; i < output.alternatives.size(); ++i) {
      Parameters near = parameters;
      if (near.top_p < 1) near.top_p *= 1 + (i / 2 == 0 ? kBorder : -kBorder);
      const double near_unit = std::clamp(unit + (i % 2 == 0 ? kBorder : -kBorder), 0.0, 1.0);
      output.alternatives[i].push_back(draws ? draw(own, order, near, near_unit) : order.front());
    }
  }
  return {std::move(output)};
}

constexpr GoldenEntry kEntries[] = {{"argmax", argmax}, {"sampling", sampling}};

} // namespace

std::span<const GoldenEntry> sampling_goldens() {
  return kEntries;
}

} // namespace tessera::reference
