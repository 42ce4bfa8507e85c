#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "tessera/perfmodel/op.hpp"

namespace tessera::perfmodel {

/// What ops of one name come to in a step.
struct OpKindTime {
  std::int64_t count = 0;
  double time_ns = 0;
  double ideal_ns = 0;
  std::map<Bound, double> by_bound; ///< time of the ops that each bounds, ns

  /// What bounds most of the time.
  Bound bound() const;
  double roofline() const { return time_ns > 0 ? std::min(1.0, ideal_ns / time_ns) : 0; }
};

/// Predicted time of a model's step: its ops one after the other, all chips alike.
class StepTime {
 public:
  StepTime(const BoardSpec& board, const Conditions& conditions, const Constants& constants)
      : board_(board), conditions_(conditions), constants_(&constants) {}

  /// Adds an op that comes so many times; returns the prediction of one.
  Prediction add(const OpRecord& record, std::int64_t times = 1);

  double time_ns() const { return time_ns_; } ///< on the card
  double ideal_ns() const { return ideal_ns_; }
  double roofline() const { return time_ns_ > 0 ? std::min(1.0, ideal_ns_ / time_ns_) : 0; }
  std::int64_t ops() const { return ops_; }
  const std::map<std::string, OpKindTime>& kinds() const { return kinds_; }

 private:
  BoardSpec board_;
  Conditions conditions_;
  const Constants* constants_; // never null; a pointer, so that steps can be assigned
  double time_ns_ = 0;
  double ideal_ns_ = 0;
  std::int64_t ops_ = 0;
  std::map<std::string, OpKindTime> kinds_;
};

/// How a step is run.
struct StepRun {
  std::int64_t users = 1;      ///< of one copy
  std::int64_t copies = 1;     ///< driven by one host
  std::int64_t chips = 1;      ///< that share a copy
  std::int64_t vocab_size = 0; ///< V
  bool traced = true;
};

/// From one token to the next of the same user: the card, the token's way over the host, the host's calls where the
/// step is not traced.
double decode_ns(const StepTime& step, const StepRun& run, const Constants& constants);
/// From the prompt to its first token.
double prefill_ns(const StepTime& step, const StepRun& run, const Constants& constants);
/// A batch of images, from the host to its logits.
double images_ns(const StepTime& step, bool traced, const Constants& constants);

} // namespace tessera::perfmodel
