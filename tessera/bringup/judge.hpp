#pragma once

#include <span>
#include <string>

#include "tessera/bringup/report.hpp"
#include "tessera/bringup/thresholds.hpp"
#include "tessera/tensor/host_tensor.hpp"

namespace tessera::bringup {

/// Rows of one width from the reference and the device, gathered for one comparison.
struct Pair {
  std::vector<float> expected;
  std::vector<float> actual;

  /// Appends rows `first` .. `first + count - 1` of `actual_rows` [rows, W] and rows `expected_first` .. of
  /// `expected_rows`. REQUIRES: the rows are there and the widths are equal.
  void add(const tensor::HostTensor& expected_rows, std::int64_t expected_first, const tensor::HostTensor& actual_rows,
           std::int64_t first, std::int64_t count);
};

/// PCC, maximum absolute error and relative Frobenius error, the first and the last held to `min_pcc`.
Row judge_values(std::string module, std::span<const float> expected, std::span<const float> actual, double min_pcc);

/// The same for whole tensors; a row that fails when the shapes differ.
Row judge_tensor(std::string module, const tensor::HostTensor& expected, const tensor::HostTensor& actual,
                 double min_pcc);

/// Beside the figures above: top-1, top-5 and KL divergence of logits of width `vocab_size`. With `judge_tokens`, top-1
/// and top-5 are held to their limits too; one miss is always allowed, so that a short text is not judged by one tie.
Row judge_logits(std::string module, const Pair& logits, std::int64_t vocab_size, const Thresholds& limits,
                 bool judge_tokens);

/// Sets `passed` from the figures' bounds.
void settle(Row& row);

} // namespace tessera::bringup
