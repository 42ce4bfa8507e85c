#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tessera::train {

/// Extents of a ResNet of basic blocks (He et al., "Deep residual learning", 2015).
struct ShapeClassifierOptions {
  std::int64_t side = 48; ///< of a picture, pixels
  std::int64_t stem = 32;
  std::vector<std::int64_t> widths{32, 64, 128}; ///< of the stages
  std::int64_t depth = 2;                        ///< blocks of a stage
};

/// The network with gradients, its tensors under Hugging Face's names. Weights come from libtorch's generator.
class ShapeClassifier {
 public:
  ShapeClassifier(const ShapeClassifierOptions& options, std::int64_t classes);

  /// pixels [N, 3, side, side] → logits [N, classes]. When training, batch norms take the batch's statistics and learn
  /// the running ones.
  at::Tensor forward(const at::Tensor& pixels, bool training);

  /// What is trained: filters and matrices, or the vectors.
  std::vector<at::Tensor> parameters(bool matrices) const;
  /// What a checkpoint holds.
  const std::map<std::string, at::Tensor>& tensors() const { return tensors_; }
  /// Filters and matrices become what bfloat16 holds of them.
  void round_to_bfloat16();

 private:
  void learn(const std::string& name, const at::Tensor& values);
  void add_convolution(const std::string& name, std::int64_t output, std::int64_t input, std::int64_t kernel);
  at::Tensor convolution(const at::Tensor& x, const std::string& name, std::int64_t stride, bool training);

  ShapeClassifierOptions options_;
  std::map<std::string, at::Tensor> tensors_;
};

/// The config.json of such a network.
nlohmann::json resnet_config(const ShapeClassifierOptions& options, const std::vector<std::string>& labels);

} // namespace tessera::train
