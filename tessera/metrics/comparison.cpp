#include "tessera/metrics/comparison.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "tessera/base/error.hpp"

namespace tessera::metrics {
namespace {

void require_equal_sizes(std::span<const float> expected, std::span<const float> actual) {
  base::require(expected.size() == actual.size(),
                "[metrics] expected and actual must have the same number of elements; received {} and {}; compare "
                "tensors of one shape",
                expected.size(), actual.size());
}

double finite_or_zero(float value) {
  return std::isfinite(value) ? static_cast<double>(value) : 0.0;
}

bool all_nan(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isnan(v); });
}

/// NaN is not zero here, as in `tensor.bool()`.
bool all_zero(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return v == 0.0f; });
}

/// |actual - expected| of one element; infinite where a value that is not finite meets a different one.
double element_error(float expected, float actual) {
  if (std::isfinite(expected) && std::isfinite(actual)) {
    return std::abs(static_cast<double>(actual) - static_cast<double>(expected));
  }
  const bool same = (std::isnan(expected) && std::isnan(actual)) || expected == actual;
  return same ? 0.0 : std::numeric_limits<double>::infinity();
}

struct Moments {
  double mean_expected = 0.0;
  double mean_actual = 0.0;
  bool identical = true;
  bool constant_expected = true;
  bool constant_actual = true;
};

Moments first_pass(std::span<const float> expected, std::span<const float> actual) {
  Moments moments;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double e = finite_or_zero(expected[i]);
    const double a = finite_or_zero(actual[i]);
    moments.mean_expected += e;
    moments.mean_actual += a;
    moments.identical = moments.identical && e == a;
    moments.constant_expected = moments.constant_expected && e == finite_or_zero(expected[0]);
    moments.constant_actual = moments.constant_actual && a == finite_or_zero(actual[0]);
  }
  moments.mean_expected /= static_cast<double>(expected.size());
  moments.mean_actual /= static_cast<double>(actual.size());
  return moments;
}

} // namespace

double pcc(std::span<const float> expected, std::span<const float> actual) {
  require_equal_sizes(expected, actual);
  if (expected.empty()) return 1.0;
  const bool expected_nan = all_nan(expected);
  const bool actual_nan = all_nan(actual);
  if (expected_nan || actual_nan) return expected_nan && actual_nan ? 1.0 : 0.0;
  if (all_zero(expected) != all_zero(actual)) return 0.0;

  const Moments moments = first_pass(expected, actual);
  // Constancy is tested on the values: a mean is rounded, and would leave a variance that is noise.
  if (moments.identical || moments.constant_expected || moments.constant_actual) return 1.0;
  double covariance = 0.0;
  double variance_expected = 0.0;
  double variance_actual = 0.0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double e = finite_or_zero(expected[i]) - moments.mean_expected;
    const double a = finite_or_zero(actual[i]) - moments.mean_actual;
    covariance += e * a;
    variance_expected += e * e;
    variance_actual += a * a;
  }
  // Two square roots: the product of the variances could overflow or vanish.
  return std::clamp(covariance / (std::sqrt(variance_expected) * std::sqrt(variance_actual)), -1.0, 1.0);
}

double max_abs_error(std::span<const float> expected, std::span<const float> actual) {
  require_equal_sizes(expected, actual);
  double largest = 0.0;
  for (std::size_t i = 0; i < expected.size(); ++i) largest = std::max(largest, element_error(expected[i], actual[i]));
  return largest;
}

double relative_frobenius_error(std::span<const float> expected, std::span<const float> actual) {
  require_equal_sizes(expected, actual);
  double error = 0.0;
  double norm = 0.0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double difference = element_error(expected[i], actual[i]);
    const double value = finite_or_zero(expected[i]);
    error += difference * difference;
    norm += value * value;
  }
  if (error == 0.0) return 0.0;
  return std::sqrt(error) / std::sqrt(norm); // infinite when the norm is zero
}

TensorComparison compare(std::span<const float> expected, std::span<const float> actual) {
  return {pcc(expected, actual), max_abs_error(expected, actual), relative_frobenius_error(expected, actual)};
}

} // namespace tessera::metrics
