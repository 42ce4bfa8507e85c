#include "tessera/metrics/logits.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tessera/base/error.hpp"
#include "tessera/metrics/comparison.hpp"

namespace tessera::metrics {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// -infinity is a masked logit and allowed; NaN and +infinity are not a distribution.
bool is_distribution(std::span<const float> row) {
  return std::all_of(row.begin(), row.end(),
                     [](float v) { return !std::isnan(v) && v != std::numeric_limits<float>::infinity(); });
}

/// log(sum(exp(row))), shifted by the largest value so that exp does not overflow.
double log_sum_exp(std::span<const float> row) {
  const double largest = row[argmax(row)];
  if (std::isinf(largest)) return largest;
  double sum = 0.0;
  for (const float value : row) sum += std::exp(static_cast<double>(value) - largest);
  return largest + std::log(sum);
}

/// Whether fewer than five values of `row` rank above index `i`.
bool is_in_top5(std::span<const float> row, std::size_t i) {
  std::size_t above = 0;
  for (std::size_t j = 0; j < row.size(); ++j) {
    if (row[j] > row[i] || (row[j] == row[i] && j < i)) ++above;
  }
  return above < 5;
}

/// KL(expected || actual) of two rows, nats.
double kl_divergence(std::span<const float> expected, std::span<const float> actual) {
  const double log_total_expected = log_sum_exp(expected);
  const double log_total_actual = log_sum_exp(actual);
  double sum = 0.0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double log_p = static_cast<double>(expected[i]) - log_total_expected;
    const double p = std::exp(log_p);
    if (p == 0.0) continue; // lim p log p = 0, whatever the other side says
    sum += p * (log_p - (static_cast<double>(actual[i]) - log_total_actual));
  }
  // Rounding can leave a tiny negative sum; the divergence is never below 0. NaN: a row that is all -infinity.
  return std::isnan(sum) ? kInfinity : std::max(sum, 0.0);
}

} // namespace

std::size_t argmax(std::span<const float> row) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < row.size(); ++i) {
    if (row[i] > row[best] || (std::isnan(row[best]) && !std::isnan(row[i]))) best = i;
  }
  return best;
}

std::vector<RowAgreement> compare_logits_rows(std::span<const float> expected, std::span<const float> actual,
                                              std::size_t vocab_size) {
  base::require(
      vocab_size > 0 && !expected.empty() && expected.size() == actual.size() && expected.size() % vocab_size == 0,
      "[compare_logits] expected and actual must both be [n, {}] with n of at least 1; received {} and {} "
      "elements; check the shapes",
      vocab_size, expected.size(), actual.size());
  std::vector<RowAgreement> rows(expected.size() / vocab_size);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto expected_row = expected.subspan(r * vocab_size, vocab_size);
    const auto actual_row = actual.subspan(r * vocab_size, vocab_size);
    if (!is_distribution(expected_row) || !is_distribution(actual_row)) {
      rows[r].kl_divergence = kInfinity;
      continue;
    }
    const std::size_t chosen = argmax(actual_row);
    rows[r] = {.top1 = chosen == argmax(expected_row),
               .top5 = is_in_top5(expected_row, chosen),
               .kl_divergence = kl_divergence(expected_row, actual_row)};
  }
  return rows;
}

LogitsAgreement mean_agreement(std::span<const RowAgreement> rows, std::span<const float> expected,
                               std::span<const float> actual) {
  LogitsAgreement agreement;
  for (const RowAgreement& row : rows) {
    agreement.top1 += row.top1 ? 1.0 : 0.0;
    agreement.top5 += row.top5 ? 1.0 : 0.0;
    agreement.kl_divergence += row.kl_divergence;
  }
  const auto count = static_cast<double>(rows.size());
  agreement.top1 /= count;
  agreement.top5 /= count;
  agreement.kl_divergence /= count;
  agreement.pcc = pcc(expected, actual);
  agreement.max_abs_error = max_abs_error(expected, actual);
  return agreement;
}

LogitsAgreement compare_logits(std::span<const float> expected, std::span<const float> actual, std::size_t vocab_size) {
  return mean_agreement(compare_logits_rows(expected, actual, vocab_size), expected, actual);
}

double cross_entropy(std::span<const float> logits_row, std::int64_t target) {
  base::require(target >= 0 && static_cast<std::uint64_t>(target) < logits_row.size(),
                "[cross_entropy] the target must be in 0..{}; received {}; check the token ids against the vocabulary",
                static_cast<std::int64_t>(logits_row.size()) - 1, target);
  if (!is_distribution(logits_row)) return kInfinity;
  const double loss = log_sum_exp(logits_row) - static_cast<double>(logits_row[static_cast<std::size_t>(target)]);
  return std::isnan(loss) ? kInfinity : loss;
}

double perplexity(std::span<const float> logits, std::span<const std::int64_t> targets) {
  base::require(
      !targets.empty() && !logits.empty() && logits.size() % targets.size() == 0,
      "[perplexity] logits must be [n, V] for n targets, n of at least 1; received {} elements for {} targets",
      logits.size(), targets.size());
  const std::size_t vocab_size = logits.size() / targets.size();
  double total = 0.0;
  for (std::size_t r = 0; r < targets.size(); ++r) {
    total += cross_entropy(logits.subspan(r * vocab_size, vocab_size), targets[r]);
  }
  return std::exp(total / static_cast<double>(targets.size()));
}

} // namespace tessera::metrics
