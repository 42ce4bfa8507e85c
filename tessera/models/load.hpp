#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/nn/decoder_config.hpp"
#include "tessera/nn/decoder_model.hpp"
#include "tessera/nn/weight_cache.hpp"
#include "tessera/runtime/mesh_device.hpp"

namespace tessera::models {

struct LoadOptions {
  std::string precision = "accuracy"; ///< preset or JSON file
  std::int64_t context = 0;   ///< positions of the KV cache for each user; 0: the model's own maximum, at most 2048
  std::int64_t max_users = 1; ///< 1 to 32
  nn::Execution execution{};
  nn::TensorParallelScheme scheme = nn::TensorParallelScheme::LINE; ///< how the device's chips share each layer
  /// The same model on another device, whose weights' host memory this one shares; null: none.
  const nn::DecoderModel* original = nullptr;
  std::int64_t layers = 0; ///< keep only the first so many; 0: all
  /// Random weights of this seed in place of the checkpoint's, which may be a configuration alone.
  std::optional<std::uint64_t> random_seed;
  /// Keeps converted weights; `variant` is set by load, which leaves the cache alone for random weights.
  nn::WeightCacheOptions weight_cache;
  /// Called after each layer is converted: (done, total).
  std::function<void(std::int64_t, std::int64_t)> progress;
};

/// Puts a checkpoint's model on a device. On a device in record mode nothing is read: `checkpoint` may be a
/// configuration alone. Throws Unsupported for an unknown architecture (naming the known ones, the nearest, and how it
/// differs), InvalidArgument for a contradictory configuration or option, IoError for missing or misshapen tensors,
/// OutOfMemory when the card's memory does not suffice.
std::unique_ptr<nn::DecoderModel> load(std::shared_ptr<runtime::MeshDevice> device,
                                       const checkpoint::Checkpoint& checkpoint, const LoadOptions& options);

/// What config.json says the model is. Errors as in load.
nn::DecoderConfig configure(const checkpoint::Checkpoint& checkpoint);

/// Every tensor that the checkpoint must hold, by its configuration.
std::vector<nn::TensorExpectation> expected_tensors(const checkpoint::Checkpoint& checkpoint);

} // namespace tessera::models
