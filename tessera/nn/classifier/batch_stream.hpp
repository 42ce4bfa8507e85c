#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "tessera/nn/causal_lm.hpp"
#include "tessera/nn/classifier/classifier_model.hpp"
#include "tessera/runtime/trace.hpp"

namespace tessera::nn {

/// Batches of items, one after the other through a model: by a captured trace, and with two command queues the next
/// batch is written while the one before is computed. The logits are those of ClassifierModel::forward, bit for bit. It
/// holds a reference to the model.
class BatchStream {
 public:
  /// Batches of up to shape[0] items of the inputs' shape [N, ...]. Throws as ClassifierModel::allocate_inputs.
  BatchStream(ClassifierModel& model, const Shape& shape, const Execution& execution);

  /// Queues a batch. Throws InvalidArgument for items of another shape or more of them.
  void submit(const HostTensor& inputs);
  /// The logits [N, classes] of the oldest batch that was not asked for yet; waits for it. REQUIRES: there is one.
  HostTensor next();
  /// Batches that can be under way at once: submit one more before the first is asked for.
  std::int64_t depth() const { return std::ssize(slots_); }

 private:
  /// A batch's place on the device.
  struct Slot {
    FeatureMap inputs;
    FeatureMap logits;
    bool has_run = false; ///< with these shapes: what a capture needs
    runtime::Trace trace;
    runtime::Event computed;
  };
  struct Pending {
    tensor::Read<HostTensor> logits;
    std::int64_t items;
  };

  void compute(Slot& slot);

  ClassifierModel& model_;
  Shape shape_;
  bool trace_;
  bool two_queues_;
  std::vector<Slot> slots_;
  std::size_t submitted_ = 0;
  std::deque<Pending> pending_;
};

} // namespace tessera::nn
