#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tessera/ops/eltwise/activation.hpp"

namespace tessera::nn {

/// BASIC: two 3x3 convolutions; BOTTLENECK: 1x1, 3x3, 1x1.
enum class ResNetBlock { BASIC, BOTTLENECK };

/// A residual network (He et al., "Deep Residual Learning for Image Recognition"), its grouped (ResNeXt) and wide
/// relatives among them: a 7x7 convolution of stride 2, a 3x3 max pool of stride 2, stages of blocks, a mean over the
/// image, a classifier.
struct ResNetConfig {
  ResNetBlock block = ResNetBlock::BOTTLENECK;
  std::vector<std::int64_t> depths;       ///< blocks of each stage
  std::vector<std::int64_t> hidden_sizes; ///< channels that a stage gives
  std::vector<std::int64_t> inner_sizes;  ///< channels of its 3x3 convolutions
  std::int64_t groups = 1;                ///< of the 3x3 convolutions of bottlenecks
  std::int64_t channels = 3;
  std::int64_t stem_channels = 64;
  std::int64_t classes = 1000;
  std::int64_t image_size = 224;
  bool downsample_in_first_stage = false;
  bool downsample_in_bottleneck = false; ///< the stride is that of the first 1x1 convolution, not of the 3x3
  ops::Activation activation = ops::Activation::RELU;
  float norm_eps = 1e-5F;

  std::int64_t stride_of_stage(std::size_t stage) const { return stage > 0 || downsample_in_first_stage ? 2 : 1; }
};

/// A convolution's name and that of the batch norm after it, without ".weight" and the like.
struct ConvNames {
  std::string convolution;
  std::string norm;
};
/// What a checkpoint calls its tensors.
struct ResNetNames {
  ConvNames stem;
  std::function<ConvNames(std::int64_t stage, std::int64_t block, std::int64_t convolution)> in_block;
  std::function<ConvNames(std::int64_t stage, std::int64_t block)> shortcut;
  std::string classifier;
};

/// A convolution of a ResNet: where it stands and what it does.
struct ResNetConv {
  std::int64_t in_channels = 0;
  std::int64_t out_channels = 0;
  std::int64_t kernel = 1;
  std::int64_t stride = 1;
  std::int64_t groups = 1;
};
/// The convolutions of a block, in order.
std::vector<ResNetConv> convolutions_of_block(const ResNetConfig& config, std::size_t stage, std::int64_t block);
/// Channels that a block is given.
std::int64_t input_of_block(const ResNetConfig& config, std::size_t stage, std::int64_t block);
/// Whether a block's input passes through a convolution of its own.
bool has_shortcut(const ResNetConfig& config, std::size_t stage, std::int64_t block);

} // namespace tessera::nn
