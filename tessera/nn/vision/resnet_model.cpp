#include "tessera/nn/vision/resnet_model.hpp"

#include <numeric>

#include "tessera/ops/conv/conv_weights.hpp"
#include "tessera/ops/data_movement/fold.hpp"
#include "tessera/ops/matmul/linear.hpp"
#include "tessera/ops/pool/pool2d.hpp"

namespace tessera::nn {
namespace {

constexpr std::int64_t kStemKernel = 7;
constexpr std::int64_t kStemStride = 2;
constexpr std::int64_t kStemPadding = 3;

/// Pixels along one side of what a convolution with half its kernel as padding gives.
std::int64_t strided(std::int64_t size, std::int64_t stride) {
  return (size - 1) / stride + 1;
}

/// Parameters of the checkpoint and floating-point operations of an image.
void count_work(const ResNetConfig& config, ClassifierInfo& info) {
  std::int64_t size = strided(config.image_size, kStemStride);
  const auto count = [&info](const ResNetConv& conv, std::int64_t pixels) {
    const std::int64_t weights = conv.out_channels * conv.in_channels / conv.groups * conv.kernel * conv.kernel;
    info.parameters += weights + 4 * conv.out_channels; // with the batch norm's
    info.flops_of_item += 2 * weights * pixels;
  };
  count({config.channels, config.stem_channels, kStemKernel}, size * size);
  size = strided(size, 2);
  for (std::size_t stage = 0; stage < config.depths.size(); ++stage) {
    for (std::int64_t block = 0; block < config.depths[stage]; ++block) {
      std::int64_t before = size;
      for (const ResNetConv& conv : convolutions_of_block(config, stage, block)) {
        size = strided(size, conv.stride);
        count(conv, size * size);
      }
      before = strided(before, block == 0 ? config.stride_of_stage(stage) : 1);
      if (has_shortcut(config, stage, block))
        count({input_of_block(config, stage, block), config.hidden_sizes[stage]}, before * before);
    }
  }
  info.parameters += config.classes * (config.hidden_sizes.back() + 1);
  info.flops_of_item += 2 * config.classes * config.hidden_sizes.back();
}

ClassifierInfo info_of(const ResNetConfig& config) {
  ClassifierInfo info{
      .family = "resnet", .channels = config.channels, .image_size = config.image_size, .classes = config.classes};
  count_work(config, info);
  return info;
}

} // namespace

std::int64_t input_of_block(const ResNetConfig& config, std::size_t stage, std::int64_t block) {
  if (block > 0) return config.hidden_sizes[stage];
  return stage == 0 ? config.stem_channels : config.hidden_sizes[stage - 1];
}

bool has_shortcut(const ResNetConfig& config, std::size_t stage, std::int64_t block) {
  return block == 0 &&
         (config.stride_of_stage(stage) != 1 || input_of_block(config, stage, 0) != config.hidden_sizes[stage]);
}

std::vector<ResNetConv> convolutions_of_block(const ResNetConfig& config, std::size_t stage, std::int64_t block) {
  const std::int64_t input = input_of_block(config, stage, block);
  const std::int64_t inner = config.inner_sizes[stage];
  const std::int64_t output = config.hidden_sizes[stage];
  const std::int64_t stride = block == 0 ? config.stride_of_stage(stage) : 1;
  if (config.block == ResNetBlock::BASIC) return {{input, inner, 3, stride}, {inner, output, 3}};
  const bool first = config.downsample_in_bottleneck;
  return {{input, inner, 1, first ? stride : 1}, {inner, inner, 3, first ? 1 : stride, config.groups}, {inner, output}};
}

ResNetModel::ResNetModel(std::shared_ptr<runtime::MeshDevice> device, const ResNetConfig& config,
                         const ResNetNames& names, const WeightLoader& weights, const Precision& precision)
    : VisionModel(std::move(device), precision, info_of(config)), config_(config) {
  const runtime::MemoryKindScope kind(this->device(), runtime::MemoryKind::WEIGHTS);
  append("stem", [this, conv = load_stem(weights, names.stem)](const FeatureMap& x) {
    // TT-NN's way: blocks of 2x2 pixels as one, and a 4x4 convolution of stride 1 over them.
    const Tensor folded = ops::fold(x.rows, {.stride = {kStemStride, kStemStride},
                                             .padding = {kStemPadding, kStemPadding},
                                             .use_transpose_as_fold = true,
                                             .dtype = activation()});
    return conv.forward({folded,
                         x.items,
                         {(x.height() + 2 * kStemPadding) / kStemStride, (x.width() + 2 * kStemPadding) / kStemStride}},
                        config_.activation, activation());
  });
  append("maxpool", [](const FeatureMap& x) {
    const ops::Pool2dOptions options{.batch_size = x.items,
                                     .input_height = x.height(),
                                     .input_width = x.width(),
                                     .channels = x.rows.shape()[-1],
                                     .kernel_size = {3, 3},
                                     .stride = {2, 2},
                                     .padding = {1, 1}};
    const ops::Extent2d output = options.window().output();
    return FeatureMap{ops::max_pool2d(x.rows, options), x.items, {output.height, output.width}};
  });
  append_blocks(names, weights);
  append("avgpool", [](const FeatureMap& x) {
    return FeatureMap{ops::global_avg_pool2d(x.rows, {.batch_size = x.items}), x.items, {}};
  });
  const std::int64_t width = config.hidden_sizes.back();
  const Linear classifier{
      .weight = weights.matmul_weight(weights.rows(names.classifier + ".weight", config.classes, width),
                                      precision.lm_head, "classifier.weight", weights.replicated()),
      .bias = weights.vector(weights.rows(names.classifier + ".bias", 1, config.classes), precision.norm,
                             "classifier.bias", weights.replicated())};
  append("classifier", [classifier](const FeatureMap& x) {
    // Logits stay in fp32: little memory, and classes of nearly equal score stay apart.
    const Tensor logits = ops::linear(x.rows, classifier.weight, {.bias = classifier.bias, .dtype = DataType::FLOAT32});
    return FeatureMap{logits, x.items, {}};
  });
  keep(weights);
}

namespace {

/// A convolution's weight [O, C / groups, k, k] with its batch norm.
ops::FoldedConv fold_norm(const WeightLoader& weights, const ConvNames& names, const ResNetConv& shape, float epsilon) {
  const auto vector = [&](const char* part) { return weights.rows(names.norm + part, 1, shape.out_channels); };
  return ops::fold_batch_norm(
      weights.filters(names.convolution + ".weight",
                      {shape.out_channels, shape.in_channels / shape.groups, shape.kernel, shape.kernel}),
      {.weight = vector(".weight"),
       .bias = vector(".bias"),
       .running_mean = vector(".running_mean"),
       .running_var = vector(".running_var"),
       .epsilon = epsilon});
}

Conv put(const WeightLoader& weights, const ConvNames& names, const ops::FoldedConv& folded, Conv conv,
         const Precision& precision, DataType dtype) {
  const ops::ConvChannels channels(conv.in_channels, conv.out_channels, conv.groups);
  conv.weight = weights.matmul_weight(ops::prepare_conv_weights(folded.weight, channels, conv.kernel_size), dtype,
                                      names.convolution, weights.replicated());
  conv.bias = weights.vector(folded.bias, precision.norm, names.norm, weights.replicated());
  return conv;
}

} // namespace

Conv ResNetModel::load(const WeightLoader& weights, const ConvNames& names, const ResNetConv& shape,
                       DataType dtype) const {
  return put(weights, names, fold_norm(weights, names, shape, config_.norm_eps),
             {.in_channels = shape.in_channels,
              .out_channels = shape.out_channels,
              .kernel_size = {shape.kernel, shape.kernel},
              .stride = {shape.stride, shape.stride},
              .padding = {shape.kernel / 2, shape.kernel / 2},
              .groups = shape.groups},
             precision(), dtype);
}

Conv ResNetModel::load_stem(const WeightLoader& weights, const ConvNames& names) const {
  ops::FoldedConv folded =
      fold_norm(weights, names, {config_.channels, config_.stem_channels, kStemKernel}, config_.norm_eps);
  folded.weight =
      ops::fold_conv_weights(folded.weight, config_.channels, {kStemKernel, kStemKernel}, {kStemStride, kStemStride});
  constexpr std::int64_t kFolded = div_up(kStemKernel, kStemStride);
  return put(weights, names, folded,
             {.in_channels = config_.channels * kStemStride * kStemStride,
              .out_channels = config_.stem_channels,
              .kernel_size = {kFolded, kFolded}},
             precision(), precision().of_layer(0).wqkv);
}

FeatureMap ResNetModel::run(const Block& block, const FeatureMap& x) const {
  const DataType dtype = activation();
  const Tensor residual =
      block.shortcut.weight.defined() ? block.shortcut.forward(x, ops::Activation::NONE, dtype).rows : x.rows;
  FeatureMap inner = x;
  for (std::size_t i = 0; i + 1 < block.convolutions.size(); ++i)
    inner = block.convolutions[i].forward(inner, config_.activation, dtype);
  return block.convolutions.back().forward(inner, config_.activation, dtype, residual);
}

void ResNetModel::append_blocks(const ResNetNames& names, const WeightLoader& weights) {
  std::int64_t number = 0;
  for (std::size_t s = 0; s < config_.depths.size(); ++s) {
    const auto stage = static_cast<std::int64_t>(s);
    for (std::int64_t b = 0; b < config_.depths[s]; ++b, ++number) {
      const DataType dtype = precision().of_layer(number).wqkv;
      const auto block = std::make_shared<Block>();
      if (has_shortcut(config_, s, b)) {
        const std::int64_t stride = config_.stride_of_stage(s);
        block->shortcut = load(weights, names.shortcut(stage, b),
                               {input_of_block(config_, s, b), config_.hidden_sizes[s], 1, stride}, dtype);
      }
      const std::vector<ResNetConv> convolutions = convolutions_of_block(config_, s, b);
      for (std::size_t i = 0; i < convolutions.size(); ++i) {
        block->convolutions.push_back(
            load(weights, names.in_block(stage, b, static_cast<std::int64_t>(i)), convolutions[i], dtype));
      }
      append_block(fmt::format("layer{}.{}", stage + 1, b), block);
    }
  }
}

void ResNetModel::append_block(const std::string& name, std::shared_ptr<const Block> block) {
  std::string input = latest();
  for (std::size_t i = 0; i < block->convolutions.size(); ++i) {
    const bool last = i + 1 == block->convolutions.size();
    std::string piece = fmt::format("{}.conv{}", name, i + 1);
    add_piece(piece, std::move(input), [this, block, i, last](const FeatureMap& x) {
      return block->convolutions[i].forward(x, last ? ops::Activation::NONE : config_.activation, activation());
    });
    input = std::move(piece);
  }
  if (block->shortcut.weight.defined()) {
    add_piece(name + ".shortcut", latest(), [this, block](const FeatureMap& x) {
      return block->shortcut.forward(x, ops::Activation::NONE, activation());
    });
  }
  append(name, [this, block](const FeatureMap& x) { return run(*block, x); });
}

} // namespace tessera::nn
