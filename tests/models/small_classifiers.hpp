#pragma once

#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tessera/checkpoint/safetensors.hpp"
#include "tests/base/temporary_folder.hpp"

namespace tessera::test {

/// Tensors of a small image classifier with random values, to be written as a checkpoint.
class SmallClassifier {
 public:
  void add(const std::string& name, const std::vector<std::int64_t>& shape, float deviation, float mean = 0.0F) {
    std::size_t count = 1;
    for (const std::int64_t extent : shape) count *= static_cast<std::size_t>(extent);
    std::normal_distribution<float> normal(mean, deviation);
    std::vector<float>& values = values_[name];
    values.resize(count);
    for (float& value : values) value = normal(random_);
    shapes_[name] = shape;
  }
  void add_conv(const std::string& convolution, const std::string& norm, const std::vector<std::int64_t>& shape) {
    add(convolution + ".weight", shape, std::sqrt(2.0F / static_cast<float>(shape[1] * shape[2] * shape[3])));
    add(norm + ".weight", {shape[0]}, 0.1F, 1.0F);
    add(norm + ".bias", {shape[0]}, 0.1F);
    add(norm + ".running_mean", {shape[0]}, 0.1F);
    add(norm + ".running_var", {shape[0]}, 0.05F, 1.0F);
  }
  void erase(const std::string& name) { shapes_.erase(name); }

  void write(const std::filesystem::path& folder) const {
    std::vector<checkpoint::OutputTensor> tensors;
    for (const auto& [name, shape] : shapes_)
      tensors.push_back({name, checkpoint::StorageType::F32, shape, std::as_bytes(std::span(values_.at(name)))});
    checkpoint::write_safetensors(folder / "model.safetensors", tensors);
  }

 private:
  std::mt19937 random_{7};
  std::map<std::string, std::vector<float>> values_;
  std::map<std::string, std::vector<std::int64_t>> shapes_;
};

struct SmallResNet {
  bool bottleneck = true;
  bool hugging_face = false;
  std::vector<std::int64_t> depths{2, 1};
  std::vector<std::int64_t> inner{8, 12};
  std::int64_t expansion = 4; ///< of bottlenecks
  std::int64_t groups = 1;
  std::int64_t stem = 16;
  std::int64_t classes = 10;
  std::string config; ///< more keys of a Hugging Face config.json
};

/// Writes such a checkpoint: under torchvision's names without a config.json, or as Hugging Face does.
inline SmallClassifier small_resnet(const SmallResNet& net) {
  SmallClassifier tensors;
  const bool hf = net.hugging_face;
  tensors.add_conv(hf ? "resnet.embedder.embedder.convolution" : "conv1",
                   hf ? "resnet.embedder.embedder.normalization" : "bn1", {net.stem, 3, 7, 7});
  std::int64_t input = net.stem;
  for (std::size_t s = 0; s < net.depths.size(); ++s) {
    const std::int64_t inner = net.inner[s];
    const std::int64_t output = net.bottleneck ? inner * net.expansion : inner;
    for (std::int64_t b = 0; b < net.depths[s]; ++b) {
      const std::string prefix =
          hf ? "resnet.encoder.stages." + std::to_string(s) + ".layers." + std::to_string(b) + "."
             : "layer" + std::to_string(s + 1) + "." + std::to_string(b) + ".";
      const auto conv = [&](int i, const std::vector<std::int64_t>& shape) {
        tensors.add_conv(prefix + (hf ? "layer." + std::to_string(i) + ".convolution" : "conv" + std::to_string(i + 1)),
                         prefix + (hf ? "layer." + std::to_string(i) + ".normalization" : "bn" + std::to_string(i + 1)),
                         shape);
      };
      if (net.bottleneck) {
        conv(0, {inner, input, 1, 1});
        conv(1, {inner, inner / net.groups, 3, 3});
        conv(2, {output, inner, 1, 1});
      } else {
        conv(0, {inner, input, 3, 3});
        conv(1, {output, inner, 3, 3});
      }
      if (b == 0 && (s > 0 || input != output)) {
        tensors.add_conv(prefix + (hf ? "shortcut.convolution" : "downsample.0"),
                         prefix + (hf ? "shortcut.normalization" : "downsample.1"), {output, input, 1, 1});
      }
      input = output;
    }
  }
  tensors.add(hf ? "classifier.1.weight" : "fc.weight", {net.classes, input}, 0.2F);
  tensors.add(hf ? "classifier.1.bias" : "fc.bias", {net.classes}, 0.2F);
  return tensors;
}

} // namespace tessera::test
