#include "tessera/bringup/judge.hpp"

#include <algorithm>
#include <cmath>

#include "tessera/metrics/comparison.hpp"
#include "tessera/metrics/logits.hpp"

namespace tessera::bringup {
namespace {

constexpr auto kAtLeast = Bound::Kind::AT_LEAST;
constexpr auto kAtMost = Bound::Kind::AT_MOST;

void append_rows(std::vector<float>& to, const tensor::HostTensor& from, std::int64_t first, std::int64_t count) {
  const std::int64_t width = from.shape[-1];
  to.insert(to.end(), from.data.begin() + first * width, from.data.begin() + (first + count) * width);
}

/// A share of `count` rows that is at most `share` and leaves room for one miss.
Bound with_one_miss(double share, std::size_t count) {
  return {kAtLeast, std::min(share, 1.0 - 1.0 / static_cast<double>(count))};
}

} // namespace

void Pair::add(const tensor::HostTensor& expected_rows, std::int64_t expected_first,
               const tensor::HostTensor& actual_rows, std::int64_t first, std::int64_t count) {
  append_rows(expected, expected_rows, expected_first, count);
  append_rows(actual, actual_rows, first, count);
}

void settle(Row& row) {
  row.passed = std::all_of(row.figures.begin(), row.figures.end(), [](const Figure& figure) { return figure.holds(); });
}

Row judge_values(std::string module, std::span<const float> expected, std::span<const float> actual, double min_pcc) {
  const metrics::TensorComparison figures = metrics::compare(expected, actual);
  Row row{.module = std::move(module)};
  row.figures = {
      {"pcc", figures.pcc, Bound{kAtLeast, min_pcc}},
      {"max_abs_error", figures.max_abs_error, {}},
      {"relative_frobenius_error", figures.relative_frobenius_error, Bound{kAtMost, max_relative_error(min_pcc)}}};
  settle(row);
  return row;
}

Row judge_tensor(std::string module, const tensor::HostTensor& expected, const tensor::HostTensor& actual,
                 double min_pcc) {
  if (expected.shape == actual.shape) return judge_values(std::move(module), expected.data, actual.data, min_pcc);
  Row row{.module = std::move(module), .passed = false};
  row.notes.push_back(fmt::format("the output must have shape {}; received {}", expected.shape, actual.shape));
  return row;
}

Row judge_logits(std::string module, const Pair& logits, std::int64_t vocab_size, const Thresholds& limits,
                 bool judge_tokens) {
  Row row = judge_values(std::move(module), logits.expected, logits.actual, limits.logits_pcc);
  if (std::isfinite(limits.logits_max_abs_error)) row.figures[1].bound = Bound{kAtMost, limits.logits_max_abs_error};
  const auto width = static_cast<std::size_t>(vocab_size);
  const metrics::LogitsAgreement agreement = metrics::compare_logits(logits.expected, logits.actual, width);
  const std::size_t count = logits.expected.size() / width;
  row.figures.push_back({"top1", agreement.top1, {}});
  row.figures.push_back({"top5", agreement.top5, {}});
  if (judge_tokens) {
    row.figures[row.figures.size() - 2].bound = with_one_miss(limits.top1, count);
    row.figures[row.figures.size() - 1].bound = with_one_miss(limits.top5, count);
  }
  row.figures.push_back({"kl_divergence", agreement.kl_divergence, {}});
  row.figures.push_back({"positions", static_cast<double>(count), {}});
  settle(row);
  return row;
}

} // namespace tessera::bringup
