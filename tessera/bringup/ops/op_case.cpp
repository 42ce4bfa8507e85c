#include "tessera/bringup/ops/op_case.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tessera/base/error.hpp"
#include "tessera/bringup/ops/op_limits.hpp"
#include "tessera/metrics/comparison.hpp"

namespace tessera::bringup {
namespace {

/// What of an output is compared: where the op says what it is.
struct Compared {
  std::vector<float> expected;
  std::vector<float> actual;
  bool same_integers = true;
};

Compared floats_of(const reference::GoldenOutput& golden, const reference::OperandValues& actual) {
  if (golden.counts.empty()) return {golden.values.data, actual.data};
  Compared compared;
  const std::size_t run = actual.data.size() / golden.counts.size();
  for (std::size_t i = 0; i < golden.counts.size(); ++i) {
    if (golden.counts[i] == 0) continue;
    const auto first = static_cast<std::ptrdiff_t>(i * run);
    const auto last = static_cast<std::ptrdiff_t>((i + 1) * run);
    compared.expected.insert(compared.expected.end(), golden.values.data.begin() + first,
                             golden.values.data.begin() + last);
    compared.actual.insert(compared.actual.end(), actual.data.begin() + first, actual.data.begin() + last);
  }
  return compared;
}

Compared integers_of(const reference::GoldenOutput& golden, const reference::OperandValues& actual) {
  Compared compared;
  const std::size_t run = golden.counts.empty() ? 1 : actual.integers.size() / golden.counts.size();
  for (std::size_t i = 0; i < actual.integers.size(); ++i) {
    if (!golden.counts.empty() && golden.counts[i / run] == 0) continue;
    std::int32_t expected = golden.values.integers[i];
    for (const auto& other : golden.alternatives) {
      if (other[i] == actual.integers[i]) expected = other[i];
    }
    compared.expected.push_back(static_cast<float>(expected));
    compared.actual.push_back(static_cast<float>(actual.integers[i]));
    compared.same_integers = compared.same_integers && expected == actual.integers[i];
  }
  return compared;
}

double norm(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += double{value} * double{value};
  return std::sqrt(sum);
}

double deviation(std::span<const float> values) {
  double mean = 0;
  for (const float value : values) mean += double{value};
  mean /= std::max<double>(1.0, static_cast<double>(values.size()));
  double sum = 0;
  for (const float value : values) sum += (double{value} - mean) * (double{value} - mean);
  return std::sqrt(sum);
}

/// The PCC that an error of `relative` of the values' norm leaves at least: the sine of the angle is at most the error
/// over the values' spread.
double least_pcc(std::span<const float> expected, double relative) {
  const double spread = deviation(expected);
  const double sine = spread == 0 ? 1.0 : std::min(1.0, relative * norm(expected) / spread);
  return std::max(0.0, std::sqrt(1.0 - sine * sine) - 1e-9);
}

OpFigures judge_output(const OpCase& op, std::size_t number, const reference::GoldenOutput& golden,
                       const reference::OperandValues& actual, double strictness) {
  const OperandRecord& output = op.record.outputs[number];
  const bool integers = is_integer(output.spec.dtype);
  const std::size_t count = integers ? golden.values.integers.size() : golden.values.data.size();
  base::require(count == (integers ? actual.integers.size() : actual.data.size()),
                "[judge] output {} of {} has {} values; received {}", output.name, op.record.name, count,
                integers ? actual.integers.size() : actual.data.size());
  const Compared compared = integers ? integers_of(golden, actual) : floats_of(golden, actual);
  const metrics::TensorComparison figures = metrics::compare(compared.expected, compared.actual);
  OpFigures result{.output = output.name,
                   .pcc = figures.pcc,
                   .max_abs_error = figures.max_abs_error,
                   .relative_frobenius_error = figures.relative_frobenius_error};
  if (integers) {
    result.pcc_limit = 1.0;
    result.passed = compared.same_integers;
    if (!result.passed) result.relative_frobenius_error = std::max(result.relative_frobenius_error, 1e-30);
    return result;
  }
  std::vector<float> rounded = compared.expected;
  round_to_format(output.spec.dtype, output.spec.shape[-1], rounded);
  const double rounding = metrics::relative_frobenius_error(compared.expected, rounded);
  result.relative_frobenius_limit =
      (rounding_margin(op.record, op.numerics) * rounding + arithmetic_limit(op.record, op.numerics)) / strictness;
  result.pcc_limit = least_pcc(compared.expected, result.relative_frobenius_limit);
  result.passed = result.relative_frobenius_error <= result.relative_frobenius_limit && result.pcc >= result.pcc_limit;
  return result;
}

} // namespace

double OpFigures::severity() const {
  if (relative_frobenius_error == 0.0) return passed ? 0.0 : std::numeric_limits<double>::infinity();
  if (relative_frobenius_limit == 0.0) return std::numeric_limits<double>::infinity();
  return relative_frobenius_error / relative_frobenius_limit;
}

OpFigures judge(const OpCase& op, double strictness) {
  OpFigures worst;
  bool first = true;
  for (std::int64_t chip = 0; chip < op.chips(); ++chip) {
    const std::vector<reference::GoldenOutput> golden = reference::golden({.record = op.record,
                                                                           .mesh_rows = op.mesh_rows,
                                                                           .mesh_columns = op.mesh_columns,
                                                                           .chip = chip,
                                                                           .chips = op.inputs});
    const reference::ChipOperands& actual = op.outputs.at(static_cast<std::size_t>(chip));
    base::require(golden.size() == actual.size(), "[judge] {} has {} outputs; received {}", op.record.name,
                  golden.size(), actual.size());
    for (std::size_t i = 0; i < golden.size(); ++i) {
      OpFigures figures = judge_output(op, i, golden[i], actual[i], strictness);
      figures.chip = op.first_chip + chip;
      const bool worse = worst.passed != figures.passed ? worst.passed : figures.severity() > worst.severity();
      if (first || worse) worst = std::move(figures);
      first = false;
    }
  }
  return worst;
}

} // namespace tessera::bringup
