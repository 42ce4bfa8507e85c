#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/tensor/host_tensor.hpp"

namespace tessera::nn {

using tensor::HostTensor;

/// What a classifier's items are.
enum class ClassifierInput { IMAGES, TEXTS };

/// What callers need to know of a model.
struct ClassifierInfo {
  std::string family; ///< "resnet", "vit", "bert"
  ClassifierInput input = ClassifierInput::IMAGES;
  std::int64_t channels = 3;        ///< of images
  std::int64_t image_size = 224;    ///< height and width that it was made for
  bool any_image_size = true;       ///< whether it also takes others
  std::int64_t vocab_size = 0;      ///< of texts
  std::int64_t max_positions = 0;   ///< tokens of the longest text
  std::int64_t type_vocab_size = 0; ///< texts that one item may be made of, told apart by their types
  std::int64_t classes = 0;         ///< width of the logits
  std::int64_t parameters = 0;      ///< of the checkpoint's tensors that it uses
  /// Two for each multiply-add of convolutions and matrix products: of an image at image_size; of a text, for itself,
  /// each of its tokens and each pair of them.
  std::int64_t flops_of_item = 0;
  std::int64_t flops_of_token = 0;
  std::int64_t flops_of_pair = 0;

  /// Of an item, a text of so many tokens.
  std::int64_t flops(std::int64_t tokens) const {
    return flops_of_item + tokens * (flops_of_token + tokens * flops_of_pair);
  }
};

/// A module that can run by itself, and the module whose output it takes: the classifier's `input_name` for the first.
struct ClassifierModule {
  std::string name;
  std::string input;
  /// Part of the forward pass itself, whose modules follow each other; else a piece of one of these.
  bool is_block = true;
};

/// Outputs of the blocks by name, and the inputs under their own. An output is [N, rows of an item..., C]: NHWC for
/// what is an image, [N, tokens, C] for what is a sequence, [N, C] for a vector.
using Features = std::map<std::string, HostTensor, std::less<>>;

/// What the inputs of images and texts are called, in Features and as the first module's input.
constexpr std::string_view input_name(ClassifierInput input) {
  return input == ClassifierInput::IMAGES ? "pixel_values" : "tokens";
}

/// A classifier of images or texts. The device's models and the reference implement it.
///
/// Its inputs are one tensor of N items: images as pixel_values [N, C, H, W], normalised already; texts as [N, 3, S],
/// for each the rows of text_rows.hpp.
///
/// Errors: InvalidArgument for inputs of another number of channels or a size that the model does not take.
class Classifier {
 public:
  virtual ~Classifier() = default;

  virtual const ClassifierInfo& info() const = 0;
  /// Logits [N, classes]. `features`, when given, is replaced.
  virtual HostTensor forward(const HostTensor& inputs, Features* features) = 0;
  /// All modules, in the order of the forward pass, each block after its pieces.
  virtual const std::vector<ClassifierModule>& modules() const = 0;
  /// Runs one module on its input x, in the form of Features. `inputs` are the model's, for what modules inside it look
  /// at: which tokens of a text are padding. Throws InvalidArgument for an unknown name.
  virtual HostTensor run_module(std::string_view name, const HostTensor& x, const HostTensor& inputs) = 0;
};

} // namespace tessera::nn
