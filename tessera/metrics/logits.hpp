#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tessera::metrics {

/// Index of the largest value, the lowest one of equals. NaN is never the largest; an empty or all-NaN row gives 0.
std::size_t argmax(std::span<const float> row);

/// How well logits agree with the reference's, over n rows.
struct LogitsAgreement {
  double top1 = 0.0;          ///< Share of rows, 0..1, whose argmax is the reference's argmax.
  double top5 = 0.0;          ///< Share of rows whose argmax is among the reference's five largest.
  double kl_divergence = 0.0; ///< Mean over rows of KL(reference || actual), in nats.
  double pcc = 0.0;           ///< Over all logits at once.
  double max_abs_error = 0.0;
};

/// How well the logits of one row agree with the reference's.
struct RowAgreement {
  bool top1 = false;
  bool top5 = false;
  double kl_divergence = 0.0;
};

/// `expected` (the reference) and `actual`: [n, vocab_size], row-major, n >= 1. top-1 and top-5 are the token accuracy
/// of tt_transformers' teacher forcing; of equal logits the lower index ranks first. A row of `actual` with NaN or
/// +infinity agrees with nothing and has an infinite divergence. Throws InvalidArgument when the sizes do not fit.
LogitsAgreement compare_logits(std::span<const float> expected, std::span<const float> actual, std::size_t vocab_size);
/// The same row by row, n entries: `compare_logits` has their means. Throws the same.
std::vector<RowAgreement> compare_logits_rows(std::span<const float> expected, std::span<const float> actual,
                                              std::size_t vocab_size);

/// The means of rows that compare_logits_rows made of the same logits. REQUIRES: as many rows as there.
LogitsAgreement mean_agreement(std::span<const RowAgreement> rows, std::span<const float> expected,
                               std::span<const float> actual);

/// -log softmax(logits)[target], in nats; `logits_row` is [V]. Throws InvalidArgument when target is not in 0..V-1.
double cross_entropy(std::span<const float> logits_row, std::int64_t target);

/// exp of the mean cross entropy of `logits` [n, V] against `targets` [n], n >= 1; V follows from the sizes. Throws
/// InvalidArgument when they do not fit or a target is not in 0..V-1.
double perplexity(std::span<const float> logits, std::span<const std::int64_t> targets);

} // namespace tessera::metrics
