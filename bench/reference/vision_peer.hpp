#pragma once

#include <memory>
#include <string>

#include "tessera/tensor/host_tensor.hpp"

namespace tessera::bench {

/// An image classifier on PyTorch's C++ library in bfloat16, channels last, batch norms folded: random weights.
class VisionPeer {
 public:
  virtual ~VisionPeer() = default;
  virtual void run(const tensor::HostTensor& pixel_values) = 0;
};

/// resnet-50 or vit-base.
std::unique_ptr<VisionPeer> make_vision_peer(const std::string& model, int threads);

} // namespace tessera::bench
