#pragma once

#include <functional>
#include <span>

#include "tessera/ops/op.hpp"
#include "tessera/ops/sampling/logits_row.hpp"

namespace tessera::ops {

/// What is done with a row of a TILE tensor, the rows of all matrices counted through.
struct RowWork {
  /// Rows that it holds for are left out. Empty: none is.
  std::function<bool(std::int64_t chip, std::int64_t row)> skip;
  /// Called once for each row, with the maxima of its blocks.
  std::function<void(std::int64_t chip, std::int64_t row, const LogitsRow& logits, std::span<const float> maxima)> body;
};

/// A program that finds the maxima of all rows' blocks, long rows by several threads, and then runs the work on each.
runtime::Program rows_program(std::string_view name, const Tensor& x, RowWork work);

} // namespace tessera::ops
