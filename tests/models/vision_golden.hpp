#pragma once

#include <cmath>
#include <numeric>
#include <vector>

#include "tessera/checkpoint/safetensors.hpp"
#include "tessera/models/classifier.hpp"
#include "tessera/tensor/host_tensor.hpp"
#include "tests/base/temporary_folder.hpp"
#include "tests/models/golden_models.hpp"

namespace tessera::test {

/// Folders of the golden data with images' outputs: golden.safetensors with logits and no input_ids.
inline std::vector<std::filesystem::path> golden_vision_models() {
  std::vector<std::filesystem::path> found;
  if (!std::filesystem::is_directory(golden_folder())) return found;
  for (const auto& entry : std::filesystem::directory_iterator(golden_folder())) {
    if (!exists(entry.path() / "golden.safetensors")) continue;
    const auto golden = checkpoint::SafeTensors::open(entry.path() / "golden.safetensors");
    if (golden.contains("logits") && !golden.contains("input_ids")) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// A golden tensor; resnet50-hf is fed what resnet50 is.
inline tensor::HostTensor golden_tensor(const std::filesystem::path& folder, const std::string& name) {
  auto golden = checkpoint::SafeTensors::open(folder / "golden.safetensors");
  if (!golden.contains(name))
    golden = checkpoint::SafeTensors::open(golden_folder() / "resnet50" / "golden.safetensors");
  const checkpoint::TensorView& view = golden.at(name);
  return {Shape(view.shape), checkpoint::to_float(view)};
}

/// The weights of resnet50-full by the recipe of its make_weights.py: convolutions and fc.weight from an integer hash,
/// the rest from bn.safetensors.
inline void write_hashed_resnet50(const std::filesystem::path& folder, const std::filesystem::path& file) {
  struct Weight {
    std::string name;
    std::vector<std::int64_t> shape;
  };
  std::vector<Weight> order{{"conv1.weight", {64, 3, 7, 7}}};
  std::int64_t input = 64;
  constexpr std::int64_t kBlocks[] = {3, 4, 6, 3};
  for (std::int64_t stage = 0; stage < 4; ++stage) {
    const std::int64_t planes = 64 << stage;
    for (std::int64_t block = 0; block < kBlocks[stage]; ++block) {
      const std::string prefix = fmt::format("layer{}.{}.", stage + 1, block);
      order.push_back({prefix + "conv1.weight", {planes, input, 1, 1}});
      order.push_back({prefix + "conv2.weight", {planes, planes, 3, 3}});
      order.push_back({prefix + "conv3.weight", {4 * planes, planes, 1, 1}});
      if (block == 0) order.push_back({prefix + "downsample.0.weight", {4 * planes, input, 1, 1}});
      input = 4 * planes;
    }
  }
  order.push_back({"fc.weight", {1000, 2048}});

  const auto norms = checkpoint::SafeTensors::open(folder / "bn.safetensors");
  std::vector<std::vector<float>> values;
  std::vector<checkpoint::OutputTensor> tensors;
  for (std::size_t k = 0; k < order.size(); ++k) {
    const auto& shape = order[k].shape;
    const auto count =
        static_cast<std::uint64_t>(std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>()));
    const double fan_in = static_cast<double>(count) / static_cast<double>(shape[0]);
    const double bound = order[k].name == "fc.weight" ? 2 * std::sqrt(3.0 / 2048) : std::sqrt(6 / fan_in);
    const auto step = static_cast<float>(bound * 0x1p-23);
    std::vector<float>& weight = values.emplace_back(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      std::uint64_t z = (static_cast<std::uint64_t>(k) << 32) + i + 0x9E3779B97F4A7C15U; // SplitMix64
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
      z ^= z >> 31;
      weight[i] = static_cast<float>(static_cast<std::int64_t>(z >> 40) - (std::int64_t{1} << 23)) * step;
    }
  }
  for (std::size_t k = 0; k < order.size(); ++k)
    tensors.push_back(
        {order[k].name, checkpoint::StorageType::F32, order[k].shape, std::as_bytes(std::span(values[k]))});
  for (const checkpoint::TensorView& view : norms.tensors())
    tensors.push_back({view.name, view.dtype, view.shape, view.data});
  checkpoint::write_safetensors(file, tensors);
}

/// A golden model's checkpoint; weights that have to be made are written into `scratch`.
inline checkpoint::Checkpoint open_golden_vision(const std::filesystem::path& folder,
                                                 const std::filesystem::path& scratch) {
  if (!exists(folder / "bn.safetensors")) return models::open_classifier_checkpoint(folder.string());
  write_hashed_resnet50(folder, scratch / "model.safetensors");
  return models::open_classifier_checkpoint(scratch.string());
}

} // namespace tessera::test
