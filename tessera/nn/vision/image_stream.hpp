#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "tessera/nn/causal_lm.hpp"
#include "tessera/nn/vision/vision_model.hpp"
#include "tessera/runtime/trace.hpp"

namespace tessera::nn {

/// Batches of images, one after the other through a model: by a captured trace, and with two command queues the next
/// batch is written while the one before is computed. The logits are those of VisionModel::forward, bit for bit. It
/// holds a reference to the model.
class ImageStream {
 public:
  /// Batches of up to `images` images of one size. Throws as VisionModel::allocate_pixels.
  ImageStream(VisionModel& model, std::int64_t images, std::int64_t height, std::int64_t width,
              const Execution& execution);

  /// Queues a batch [N, C, H, W]. Throws InvalidArgument for another size or more images.
  void submit(const HostTensor& pixel_values);
  /// The logits [N, classes] of the oldest batch that was not asked for yet; waits for it. REQUIRES: there is one.
  HostTensor next();
  /// Batches that can be under way at once: submit one more before the first is asked for.
  std::int64_t depth() const { return std::ssize(slots_); }

 private:
  /// A batch's place on the device.
  struct Slot {
    FeatureMap pixels;
    FeatureMap logits;
    bool has_run = false; ///< with these shapes: what a capture needs
    runtime::Trace trace;
    runtime::Event computed;
  };
  struct Pending {
    tensor::Read<HostTensor> logits;
    std::int64_t images;
  };

  void compute(Slot& slot);

  VisionModel& model_;
  std::int64_t images_;
  bool trace_;
  bool two_queues_;
  std::vector<Slot> slots_;
  std::size_t submitted_ = 0;
  std::deque<Pending> pending_;
};

} // namespace tessera::nn
