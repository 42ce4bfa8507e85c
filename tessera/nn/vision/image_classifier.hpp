#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/tensor/host_tensor.hpp"

namespace tessera::nn {

using tensor::HostTensor;

/// What callers need to know of a model.
struct ImageClassifierInfo {
  std::string family; ///< "resnet", "vit"
  std::int64_t channels = 3;
  std::int64_t image_size = 224;   ///< height and width that it was made for
  bool any_image_size = true;      ///< whether it also takes others
  std::int64_t classes = 0;        ///< width of the logits
  std::int64_t parameters = 0;     ///< of the checkpoint's tensors that it uses
  std::int64_t flops_of_image = 0; ///< at image_size: two for each multiply-add of convolutions and matrix products
};

/// A module that can run by itself, and the module whose output it takes: "pixel_values" for the first.
struct VisionModule {
  std::string name;
  std::string input;
  /// Part of the forward pass itself, whose modules follow each other; else a piece of one of these.
  bool is_block = true;
};

/// Outputs of the blocks by name, and "pixel_values". An output is [N, rows of an image..., C]: NHWC for what is an
/// image, [N, tokens, C] for what is a sequence, [N, C] for a vector.
using VisionFeatures = std::map<std::string, HostTensor, std::less<>>;

/// An image classifier. The device's models and the reference implement it.
///
/// Errors: InvalidArgument for pixel values of another number of channels or a size that the model does not take.
class ImageClassifier {
 public:
  virtual ~ImageClassifier() = default;

  virtual const ImageClassifierInfo& info() const = 0;
  /// Logits [N, classes] of pixel_values [N, C, H, W], which are normalised already. `features`, when given, is
  /// replaced.
  virtual HostTensor forward(const HostTensor& pixel_values, VisionFeatures* features) = 0;
  /// All modules, in the order of the forward pass, each block after its pieces.
  virtual const std::vector<VisionModule>& modules() const = 0;
  /// Runs one module on its input, in the form of VisionFeatures. Throws InvalidArgument for an unknown name.
  virtual HostTensor run_module(std::string_view name, const HostTensor& x) = 0;
};

} // namespace tessera::nn
