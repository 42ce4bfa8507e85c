#include "tessera/reference/vision_reference.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "tessera/base/error.hpp"

namespace tessera::reference {

at::Tensor VisionReference::take(const nn::HostTensor& inputs) {
  const Shape& shape = inputs.shape;
  base::require(shape.rank() == 4 && shape[0] > 0 && shape[1] == info_.channels &&
                    (info_.any_image_size || (shape[2] == info_.image_size && shape[3] == info_.image_size)),
                "[reference] pixel_values [N, {}, {}, {}] are required; received {}", info_.channels, info_.image_size,
                info_.image_size, shape);
  return to_torch(inputs);
}

ResNetReference::ResNetReference(const checkpoint::Checkpoint& checkpoint)
    : VisionReference(checkpoint), hugging_face_(!checkpoint.config().empty()) {
  bool first_stage_strides = false;
  std::int64_t image_size = 224;
  if (hugging_face_) {
    const checkpoint::ConfigReader config = config_of(checkpoint);
    activation_ = config.string_or("hidden_act", "relu");
    stride_first_ = config.boolean_or("downsample_in_bottleneck", false);
    first_stage_strides = config.boolean_or("downsample_in_first_stage", false);
    image_size = config.integer_or("image_size", image_size, {1, 1 << 16});
  }
  const std::string stem = hugging_face_ ? "resnet.embedder.embedder.convolution" : "conv1";
  const std::string stem_norm = hugging_face_ ? "resnet.embedder.embedder.normalization" : "bn1";
  const at::Tensor classifier = weight(hugging_face_ ? "classifier.1.weight" : "fc.weight");
  const at::Tensor classifier_bias = weight(hugging_face_ ? "classifier.1.bias" : "fc.bias");
  info_ = {.family = "resnet",
           .channels = weight(stem + ".weight").size(1),
           .image_size = image_size,
           .classes = classifier.size(0)};
  append("stem",
         [this, stem = conv(stem, stem_norm, info_.channels, 2)](const at::Tensor& x) { return apply(stem, x, true); });
  append("maxpool", [](const at::Tensor& x) { return at::max_pool2d(x, {3, 3}, {2, 2}, {1, 1}); });
  const auto first_of_block = [this](std::int64_t stage, std::int64_t block) {
    return hugging_face_ ? fmt::format("resnet.encoder.stages.{}.layers.{}.layer.0.convolution.weight", stage, block)
                         : fmt::format("layer{}.{}.conv1.weight", stage + 1, block);
  };
  for (std::int64_t stage = 0; has(first_of_block(stage, 0)); ++stage) {
    for (std::int64_t block = 0; has(first_of_block(stage, block)); ++block) {
      const bool strides = block == 0 && (stage > 0 || first_stage_strides);
      append_block(fmt::format("layer{}.{}", stage + 1, block), stage, block, strides ? 2 : 1);
    }
  }
  append("avgpool", [](const at::Tensor& x) { return x.mean({2, 3}); });
  append("classifier",
         [classifier, classifier_bias](const at::Tensor& x) { return at::linear(x, classifier, classifier_bias); });
}

ResNetReference::Conv ResNetReference::conv(const std::string& convolution, const std::string& norm,
                                            std::int64_t inputs, std::int64_t stride) const {
  Conv conv{.weight = weight(convolution + ".weight"),
            .gamma = weight(norm + ".weight"),
            .beta = weight(norm + ".bias"),
            .mean = weight(norm + ".running_mean"),
            .variance = weight(norm + ".running_var"),
            .stride = stride};
  conv.groups = inputs / conv.weight.size(1);
  return conv;
}

at::Tensor ResNetReference::apply(const Conv& conv, const at::Tensor& x, bool activates) const {
  constexpr double kEpsilon = 1e-5;
  const std::int64_t padding = conv.weight.size(2) / 2;
  const at::Tensor sum =
      at::conv2d(x, conv.weight, {}, {conv.stride, conv.stride}, {padding, padding}, {1, 1}, conv.groups);
  const at::Tensor normal =
      at::batch_norm(sum, conv.gamma, conv.beta, conv.mean, conv.variance, false, 0.0, kEpsilon, false);
  return activates ? activate(normal, activation_) : normal;
}

void ResNetReference::append_block(const std::string& name, std::int64_t stage, std::int64_t block,
                                   std::int64_t stride) {
  const std::string prefix = hugging_face_ ? fmt::format("resnet.encoder.stages.{}.layers.{}.", stage, block)
                                           : fmt::format("layer{}.{}.", stage + 1, block);
  const auto names = [&](std::int64_t i) {
    return hugging_face_ ? std::pair{fmt::format("{}layer.{}.convolution", prefix, i),
                                     fmt::format("{}layer.{}.normalization", prefix, i)}
                         : std::pair{fmt::format("{}conv{}", prefix, i + 1), fmt::format("{}bn{}", prefix, i + 1)};
  };
  std::int64_t count = 0;
  while (has(names(count).first + ".weight")) ++count;
  // A bottleneck's stride is in its 3x3 convolution, the second, unless the configuration says the first.
  const std::int64_t strided = count == 3 && !stride_first_ ? 1 : 0;
  std::vector<Conv> convolutions;
  const std::int64_t input = weight(names(0).first + ".weight").size(1);
  for (std::int64_t i = 0, channels = input; i < count; ++i) {
    convolutions.push_back(conv(names(i).first, names(i).second, channels, i == strided ? stride : 1));
    channels = convolutions.back().weight.size(0);
  }
  Conv shortcut;
  const std::string shortcut_name = prefix + (hugging_face_ ? "shortcut.convolution" : "downsample.0");
  if (has(shortcut_name + ".weight"))
    shortcut = conv(shortcut_name, prefix + (hugging_face_ ? "shortcut.normalization" : "downsample.1"), input, stride);

  std::string before = latest();
  for (std::size_t i = 0; i < convolutions.size(); ++i) {
    std::string piece = fmt::format("{}.conv{}", name, i + 1);
    add_piece(piece, std::move(before),
              [this, conv = convolutions[i], last = i + 1 == convolutions.size()](const at::Tensor& x) {
                return apply(conv, x, !last);
              });
    before = std::move(piece);
  }
  if (shortcut.weight.defined())
    add_piece(name + ".shortcut", latest(),
              [this, shortcut](const at::Tensor& x) { return apply(shortcut, x, false); });
  append(name, [this, convolutions, shortcut](const at::Tensor& x) {
    at::Tensor y = x;
    for (std::size_t i = 0; i < convolutions.size(); ++i) y = apply(convolutions[i], y, i + 1 < convolutions.size());
    return activate(y + (shortcut.weight.defined() ? apply(shortcut, x, false) : x), activation_);
  });
}

VitReference::VitReference(const checkpoint::Checkpoint& checkpoint) : VisionReference(checkpoint) {
  const checkpoint::ConfigReader config = config_of(checkpoint);
  heads_ = config.integer_or("num_attention_heads", 12, {1, 1 << 16});
  norm_eps_ = config.number_or("layer_norm_eps", 1e-12, {0.0, 1.0});
  activation_ = config.string_or("hidden_act", "gelu");
  const std::string projection = "vit.embeddings.patch_embeddings.projection";
  const at::Tensor patches = weight(projection + ".weight");
  const at::Tensor patch_bias = weight(projection + ".bias");
  const at::Tensor token = weight("vit.embeddings.cls_token");
  const at::Tensor positions = weight("vit.embeddings.position_embeddings");
  info_ = {.family = "vit",
           .channels = patches.size(1),
           .image_size = config.integer_or("image_size", 224, {1, 1 << 16}),
           .any_image_size = false,
           .classes = weight("classifier.weight").size(0)};
  base::require(patches.size(0) % heads_ == 0, "[reference] the heads must divide the width {}; received {}",
                patches.size(0), heads_);
  append("embeddings", [patches, patch_bias, token, positions](const at::Tensor& x) {
    const at::Tensor image = at::conv2d(x, patches, patch_bias, {patches.size(2), patches.size(3)});
    const at::Tensor tokens = image.flatten(2).transpose(1, 2);
    return at::cat({token.expand({x.size(0), 1, token.size(2)}), tokens}, 1) + positions;
  });
  const std::int64_t layers = config.integer_or("num_hidden_layers", 12, {1, 1 << 10});
  for (std::int64_t i = 0; i < layers; ++i) append_layer(i);
  append("layernorm", [this](const at::Tensor& x) { return norm(x, "vit.layernorm"); });
  append("classifier", [this](const at::Tensor& x) { return linear(x.select(1, 0), "classifier"); });
}

at::Tensor VitReference::norm(const at::Tensor& x, const std::string& name) const {
  return at::layer_norm(x, {x.size(-1)}, weight(name + ".weight"), weight(name + ".bias"), norm_eps_);
}

at::Tensor VitReference::attention(const at::Tensor& x, const std::string& layer) const {
  const std::int64_t head_dim = x.size(2) / heads_;
  const auto heads = [&](const char* name) {
    return linear(x, layer + "attention.attention." + name)
        .view({x.size(0), x.size(1), heads_, head_dim})
        .transpose(1, 2);
  };
  const at::Tensor scores =
      at::matmul(heads("query"), heads("key").transpose(-2, -1)) / std::sqrt(static_cast<double>(head_dim));
  const at::Tensor joined = at::matmul(scores.softmax(-1), heads("value")).transpose(1, 2).reshape(x.sizes());
  return linear(joined, layer + "attention.output.dense");
}

at::Tensor VitReference::mlp(const at::Tensor& x, const std::string& layer) const {
  return linear(activate(linear(x, layer + "intermediate.dense"), activation_), layer + "output.dense");
}

void VitReference::append_layer(std::int64_t number) {
  const std::string name = fmt::format("layer.{}", number);
  const std::string layer = fmt::format("vit.encoder.layer.{}.", number);
  const std::string before = latest();
  add_piece(name + ".layernorm_before", before,
            [this, layer](const at::Tensor& x) { return norm(x, layer + "layernorm_before"); });
  add_piece(name + ".attention", name + ".layernorm_before",
            [this, layer](const at::Tensor& x) { return attention(x, layer); });
  add_piece(name + ".layernorm_after", before,
            [this, layer](const at::Tensor& x) { return norm(x, layer + "layernorm_after"); });
  add_piece(name + ".mlp", name + ".layernorm_after", [this, layer](const at::Tensor& x) { return mlp(x, layer); });
  append(name, [this, layer](const at::Tensor& x) {
    const at::Tensor attended = x + attention(norm(x, layer + "layernorm_before"), layer);
    return attended + mlp(norm(attended, layer + "layernorm_after"), layer);
  });
}

} // namespace tessera::reference
