#include "bench/reference/vision_peer.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>

#include <vector>

namespace tessera::bench {
namespace {

at::Tensor random(at::IntArrayRef shape) {
  return (at::randn(shape) * 0.02).to(at::kBFloat16);
}

at::Tensor pixels_of(const tensor::HostTensor& host) {
  const auto extents = host.shape.extents();
  const at::Tensor pixels = at::empty(at::IntArrayRef(extents.data(), extents.size()), at::kFloat);
  std::copy(host.data.begin(), host.data.end(), pixels.data_ptr<float>());
  return pixels.to(at::kBFloat16).contiguous(at::MemoryFormat::ChannelsLast);
}

class ResNet50 final : public VisionPeer {
 public:
  ResNet50() {
    stem_ = conv(3, 64, 7, 2);
    std::int64_t input = 64;
    constexpr std::int64_t kBlocks[] = {3, 4, 6, 3};
    for (std::int64_t stage = 0; stage < 4; ++stage) {
      const std::int64_t inner = 64 << stage;
      for (std::int64_t block = 0; block < kBlocks[stage]; ++block) {
        const std::int64_t stride = block == 0 && stage > 0 ? 2 : 1;
        blocks_.push_back({conv(input, inner, 1, 1), conv(inner, inner, 3, stride), conv(inner, 4 * inner, 1, 1),
                           block == 0 ? conv(input, 4 * inner, 1, stride) : Conv{}});
        input = 4 * inner;
      }
    }
    classifier_ = random({1000, 2048});
  }
  void run(const tensor::HostTensor& pixel_values) override {
    const c10::InferenceMode inference;
    at::Tensor x = at::relu(apply(stem_, pixels_of(pixel_values)));
    x = at::max_pool2d(x, {3, 3}, {2, 2}, {1, 1});
    for (const Block& block : blocks_) {
      at::Tensor y = at::relu(apply(block.reduce, x));
      y = at::relu(apply(block.spatial, y));
      y = apply(block.expand, y);
      x = at::relu(y.add_(block.shortcut.weight.defined() ? apply(block.shortcut, x) : x));
    }
    x = at::adaptive_avg_pool2d(x, {1, 1}).flatten(1);
    at::linear(x, classifier_).to(at::kFloat);
  }

 private:
  struct Conv {
    at::Tensor weight;
    at::Tensor bias;
    std::int64_t stride = 1;
  };
  struct Block {
    Conv reduce, spatial, expand, shortcut;
  };
  static Conv conv(std::int64_t input, std::int64_t output, std::int64_t kernel, std::int64_t stride) {
    return {random({output, input, kernel, kernel}).contiguous(at::MemoryFormat::ChannelsLast), random({output}),
            stride};
  }
  static at::Tensor apply(const Conv& conv, const at::Tensor& x) {
    const std::int64_t padding = conv.weight.size(2) / 2;
    return at::conv2d(x, conv.weight, conv.bias, {conv.stride, conv.stride}, {padding, padding});
  }

  Conv stem_;
  std::vector<Block> blocks_;
  at::Tensor classifier_;
};

class VitBase final : public VisionPeer {
 public:
  VitBase() {
    for (int i = 0; i < kLayers; ++i)
      layers_.push_back({random({3 * kWidth, kWidth}), random({3 * kWidth}), random({kWidth, kWidth}), random({kWidth}),
                         random({kHidden, kWidth}), random({kHidden}), random({kWidth, kHidden}), random({kWidth})});
  }
  void run(const tensor::HostTensor& pixel_values) override {
    const c10::InferenceMode inference;
    const at::Tensor pixels = pixels_of(pixel_values);
    const std::int64_t images = pixels.size(0);
    at::Tensor x = at::conv2d(pixels, patch_, token_, {16, 16}).flatten(2).transpose(1, 2);
    x = at::cat({token_.expand({images, 1, kWidth}), x}, 1).add_(positions_);
    const std::int64_t tokens = x.size(1);
    for (const Layer& layer : layers_) {
      const auto qkv = at::linear(norm(x), layer.qkv, layer.qkv_bias)
                           .view({images, tokens, 3, kHeads, kWidth / kHeads})
                           .permute({2, 0, 3, 1, 4})
                           .unbind(0);
      const at::Tensor scores = at::matmul(qkv[0] * 0.125, qkv[1].transpose(-2, -1)).softmax(-1);
      const at::Tensor attended = at::matmul(scores, qkv[2]).transpose(1, 2).reshape({images, tokens, kWidth});
      x = x + at::linear(attended, layer.output, layer.output_bias);
      x = x + at::linear(at::gelu(at::linear(norm(x), layer.up, layer.up_bias)), layer.down, layer.down_bias);
    }
    at::linear(norm(x).select(1, 0), classifier_).to(at::kFloat);
  }

 private:
  static constexpr int kLayers = 12;
  static constexpr std::int64_t kWidth = 768;
  static constexpr std::int64_t kHeads = 12;
  static constexpr std::int64_t kHidden = 3072;
  struct Layer {
    at::Tensor qkv, qkv_bias, output, output_bias, up, up_bias, down, down_bias;
  };
  at::Tensor norm(const at::Tensor& x) const { return at::layer_norm(x, {kWidth}, scale_, token_, 1e-12); }

  at::Tensor patch_ = random({kWidth, 3, 16, 16}).contiguous(at::MemoryFormat::ChannelsLast);
  at::Tensor token_ = random({kWidth});
  at::Tensor scale_ = at::ones({kWidth}, at::kBFloat16);
  at::Tensor positions_ = random({1, 197, kWidth});
  at::Tensor classifier_ = random({1000, kWidth});
  std::vector<Layer> layers_;
};

} // namespace

std::unique_ptr<VisionPeer> make_vision_peer(const std::string& model, int threads) {
  at::set_num_threads(threads);
  if (model == "vit-base") return std::make_unique<VitBase>();
  return std::make_unique<ResNet50>();
}

} // namespace tessera::bench
