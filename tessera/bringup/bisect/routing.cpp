#include "tessera/bringup/bisect/routing.hpp"

#include <algorithm>
#include <numeric>

#include "tessera/base/error.hpp"

namespace tessera::bringup::bisect {
std::vector<std::vector<std::int64_t>> chosen_experts(const Router& router, const tensor::HostTensor& x) {
  const std::int64_t experts = router.weight.shape[0];
  base::require(router.weight.shape[1] == x.shape[-1] && 0 < router.per_token && router.per_token <= experts,
                "[bisect] a router [X, {}] of 1..X experts per row is required; received {} and {}", x.shape[-1],
                router.weight.shape, router.per_token);
  const std::int64_t rows = x.shape.volume() / x.shape[-1];
  std::vector<std::vector<std::int64_t>> chosen;
  std::vector<double> scores(static_cast<std::size_t>(experts));
  std::vector<std::int64_t> order(scores.size());
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto row = x.row(r);
    for (std::int64_t e = 0; e < experts; ++e) {
      const auto weights = router.weight.row(e);
      scores[static_cast<std::size_t>(e)] = std::inner_product(row.begin(), row.end(), weights.begin(), 0.0);
    }
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
      return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
    });
    chosen.emplace_back(order.begin(), order.begin() + router.per_token);
    std::sort(chosen.back().begin(), chosen.back().end());
  }
  return chosen;
}

Flips count_flips(std::int64_t layer, const Router& router, const tensor::HostTensor& expected,
                  const tensor::HostTensor& actual) {
  const auto right = chosen_experts(router, expected);
  const auto own = chosen_experts(router, actual);
  base::require(right.size() == own.size(), "[bisect] as many rows are required; received {} and {}", right.size(),
                own.size());
  Flips flips{.layer = layer, .choices = static_cast<std::int64_t>(right.size()) * router.per_token};
  for (std::size_t row = 0; row < right.size(); ++row) {
    for (const std::int64_t expert : right[row]) {
      if (!std::binary_search(own[row].begin(), own[row].end(), expert)) ++flips.flipped;
    }
  }
  return flips;
}

std::vector<std::int64_t> wrong_experts(const Router& router, const tensor::HostTensor& x,
                                        const std::vector<double>& row_errors, double limit) {
  const auto chosen = chosen_experts(router, x);
  base::require(chosen.size() == row_errors.size(), "[bisect] an error for each of {} rows is required; received {}",
                chosen.size(), row_errors.size());
  // A row that comes out right clears its experts.
  const auto experts = static_cast<std::size_t>(router.weight.shape[0]);
  std::vector<bool> seen(experts);
  std::vector<bool> cleared(experts);
  for (std::size_t row = 0; row < chosen.size(); ++row) {
    for (const std::int64_t expert : chosen[row]) {
      seen[static_cast<std::size_t>(expert)] = true;
      if (!(row_errors[row] > limit)) cleared[static_cast<std::size_t>(expert)] = true;
    }
  }
  std::vector<std::int64_t> wrong;
  for (std::size_t expert = 0; expert < experts; ++expert) {
    if (seen[expert] && !cleared[expert]) wrong.push_back(static_cast<std::int64_t>(expert));
  }
  const auto is_wrong = [&](std::int64_t expert) { return std::binary_search(wrong.begin(), wrong.end(), expert); };
  for (std::size_t row = 0; row < chosen.size(); ++row) {
    const bool explained = std::any_of(chosen[row].begin(), chosen[row].end(), is_wrong);
    if (row_errors[row] > limit && !explained) return {};
  }
  return wrong.size() < experts ? wrong : std::vector<std::int64_t>{};
}

} // namespace tessera::bringup::bisect
