#pragma once

#include <span>

namespace tessera::metrics {

/// Pearson correlation of two tensors of equal size, with the semantics of TT-NN's `comp_pcc`
/// (models/common/utility_functions.py): both all NaN → 1; one all NaN → 0; exactly one all zero → 0; then NaN and
/// infinity count as 0; identical → 1; one side constant, where no correlation is defined → 1. Two empty tensors → 1.
/// Throws InvalidArgument when the sizes differ.
double pcc(std::span<const float> expected, std::span<const float> actual);

/// max |actual - expected|. Equal infinities and NaN against NaN count as 0, any other value that is not finite as
/// infinity. 0 for empty tensors. Throws InvalidArgument when the sizes differ.
double max_abs_error(std::span<const float> expected, std::span<const float> actual);

/// |actual - expected| / |expected| in the Frobenius norm, with the same rule for values that are not finite (which are
/// left out of the norm of `expected`). When `expected` is zero: 0 if `actual` is too, else infinity. Throws
/// InvalidArgument when the sizes differ.
double relative_frobenius_error(std::span<const float> expected, std::span<const float> actual);

struct TensorComparison {
  double pcc = 0.0;
  double max_abs_error = 0.0;
  double relative_frobenius_error = 0.0;
};

/// The three figures above.
TensorComparison compare(std::span<const float> expected, std::span<const float> actual);

} // namespace tessera::metrics
