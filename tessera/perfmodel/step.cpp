#include "tessera/perfmodel/step.hpp"

#include <algorithm>

namespace tessera::perfmodel {
namespace {

/// Logits of the vocabulary that the host's constants are given for.
constexpr double kLogits = 131072;

/// The card waits for the host where the host's calls take longer.
double launched_ns(const StepTime& step, bool traced, const HostConstants& host) {
  return traced ? step.time_ns() : std::max(step.time_ns(), static_cast<double>(step.ops()) * host.eager_op_ns);
}

} // namespace

Bound OpKindTime::bound() const {
  const auto most =
      std::ranges::max_element(by_bound, {}, [](const std::pair<const Bound, double>& entry) { return entry.second; });
  return most == by_bound.end() ? Bound::LAUNCH : most->first;
}

Prediction StepTime::add(const OpRecord& record, std::int64_t times) {
  const Prediction prediction = predict_op(record, board_, conditions_, *constants_);
  const auto count = static_cast<double>(times);
  const double time_ns = count * (prediction.time_ns + constants_->of(board_.arch).op_gap_ns);
  time_ns_ += time_ns;
  ideal_ns_ += count * prediction.ideal_ns;
  ops_ += times;
  OpKindTime& kind = kinds_[record.name];
  kind.count += times;
  kind.time_ns += time_ns;
  kind.ideal_ns += count * prediction.ideal_ns;
  kind.by_bound[prediction.bound] += time_ns;
  return prediction;
}

double decode_ns(const StepTime& step, const StepRun& run, const Constants& constants) {
  const HostConstants& host = constants.host;
  const double vocabularies = static_cast<double>(run.vocab_size) / kLogits;
  return launched_ns(step, run.traced, host) + host.step_ns +
         host.logits_ns * vocabularies / static_cast<double>(run.chips) +
         host.logit_row_ns * vocabularies * static_cast<double>(run.users - 1) +
         host.submesh_ns * static_cast<double>(run.copies - 1);
}

double prefill_ns(const StepTime& step, const StepRun& run, const Constants& constants) {
  const HostConstants& host = constants.host;
  return launched_ns(step, run.traced, host) + host.prefill_ns +
         host.prefill_chip_ns * static_cast<double>(run.chips - 1) +
         host.submesh_ns * static_cast<double>(run.copies - 1);
}

double images_ns(const StepTime& step, bool traced, const Constants& constants) {
  return launched_ns(step, traced, constants.host) + constants.host.image_batch_ns;
}

} // namespace tessera::perfmodel
