#include <algorithm>
#include <numeric>

#include "tessera/reference/ops/golden_call.hpp"
#include "tessera/spec/tile.hpp"

// A mixture's routing (Shazeer et al. 2017) and what puts its experts' results together.

namespace tessera::reference {
namespace {

/// Lists as routing's outputs are: weights, places, rows, begins, counts.
struct Lists {
  std::vector<double> weights;
  std::vector<std::int32_t> places;
  std::vector<std::int32_t> rows;
  std::vector<std::int32_t> begins;
  std::vector<std::int32_t> counts;
};

/// A row's `k` best experts, the first of equal ones.
std::vector<std::int32_t> best_of(const double* logits, std::int64_t experts, std::int64_t k) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(experts));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [logits](std::int32_t a, std::int32_t b) { return logits[a] > logits[b]; });
  order.resize(static_cast<std::size_t>(k));
  return order;
}

GoldenOutputs routing(const GoldenCall& call) {
  const at::Tensor logits = call.input("logits");
  const std::int64_t experts = logits.size(-1);
  const std::int64_t k = call.integer("k");
  const at::Tensor rows = logits.reshape({-1, experts}).contiguous();
  Lists lists;
  lists.rows.assign(static_cast<std::size_t>(call.output(2).shape.volume()), -1);
  lists.counts.assign(static_cast<std::size_t>(experts), 0);
  std::vector<std::int32_t> chosen;
  for (std::int64_t row = 0; row < rows.size(0); ++row) {
    const double* const own = rows.data_ptr<double>() + row * experts;
    const std::vector<std::int32_t> best = best_of(own, experts, k);
    double sum = 0;
    for (const std::int32_t expert : best) sum += std::exp(own[expert] - own[best.front()]);
    for (const std::int32_t expert : best) {
      lists.weights.push_back(std::exp(own[expert] - own[best.front()]) / sum);
      chosen.push_back(expert);
      ++lists.counts[static_cast<std::size_t>(expert)];
    }
  }
  std::int64_t begin = 0;
  for (const std::int32_t count : lists.counts) {
    lists.begins.push_back(static_cast<std::int32_t>(begin));
    begin += round_up(count, kTileHeight);
  }
  std::vector<std::int32_t> next = lists.begins;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const std::int32_t place = next[static_cast<std::size_t>(chosen[i])]++;
    lists.places.push_back(place);
    lists.rows[static_cast<std::size_t>(place)] = static_cast<std::int32_t>(static_cast<std::int64_t>(i) / k);
  }
  GoldenOutputs outputs{golden_output(call.output(0), at::tensor(lists.weights, at::kDouble))};
  for (const std::vector<std::int32_t>* const list : {&lists.places, &lists.rows, &lists.begins, &lists.counts})
    outputs.push_back({.values = {.shape = call.output(outputs.size()).shape, .data = {}, .integers = *list}});
  return outputs;
}

GoldenOutputs combine(const GoldenCall& call) {
  const at::Tensor y = call.input("y");
  const std::int64_t k = call.integer("k");
  const at::Tensor places = call.input("places").reshape({-1}).to(at::kLong);
  const at::Tensor terms = y.reshape({-1, y.size(-1)}).index_select(0, places) * call.input("weights").reshape({-1, 1});
  return {golden_output(call.output(), terms.reshape({-1, k, y.size(-1)}).sum(1))};
}

constexpr GoldenEntry kEntries[] = {{"moe_routing", routing}, {"moe_combine", combine}};

} // namespace

std::span<const GoldenEntry> routing_goldens() {
  return kEntries;
}

} // namespace tessera::reference
