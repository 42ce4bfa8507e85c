#include "tessera/models/load.hpp"

#include <algorithm>

#include "tessera/base/error.hpp"
#include "tessera/models/family.hpp"

namespace tessera::models {
namespace {

constexpr std::int64_t kDefaultContext = 2048;

std::shared_ptr<nn::WeightCache> weight_cache(runtime::MeshDevice& device, const checkpoint::Checkpoint& checkpoint,
                                              const LoadOptions& options) {
  nn::WeightCacheOptions cache = options.weight_cache;
  if (cache.folder.empty() || options.random_seed || !checkpoint.has_weights() || options.original != nullptr ||
      device.mode() == runtime::RunMode::RECORD || device.chips() > 1 || device.local_chips() == 0) {
    return nullptr;
  }
  cache.variant = fmt::format("{}, {} layers", options.precision, options.layers);
  return std::make_shared<nn::WeightCache>(checkpoint, device, std::move(cache));
}

} // namespace

nn::DecoderConfig configure(const checkpoint::Checkpoint& checkpoint) {
  return family_of(checkpoint)
      .configure(checkpoint::ConfigReader(checkpoint.config(), checkpoint.config_path().string()));
}

std::vector<nn::TensorExpectation> expected_tensors(const checkpoint::Checkpoint& checkpoint) {
  const nn::DecoderConfig config = configure(checkpoint);
  return nn::expected_tensors(config, names_in(checkpoint, config));
}

std::unique_ptr<nn::DecoderModel> load(std::shared_ptr<runtime::MeshDevice> device,
                                       const checkpoint::Checkpoint& checkpoint, const LoadOptions& options) {
  nn::DecoderConfig config = configure(checkpoint);
  base::require(0 <= options.layers && options.layers <= config.layers,
                "[load] layers must be in 0 (all)..{}; received {}", config.layers, options.layers);
  base::require(0 <= options.context, "[load] context must be 0 (the model's own) or more; received {}",
                options.context);
  base::require(options.context <= config.max_positions,
                "[load] a context of at most {} positions (max_position_embeddings) is possible; received {}",
                config.max_positions, options.context);
  // The whole model decides what a preset means, also where only its first layers run.
  const nn::Precision precision = nn::make_precision(
      options.precision, {.family = config.family, .layers = config.layers, .parameters = config.parameters()});
  if (options.layers > 0) {
    config.layers = options.layers;
    config.sliding_window.resize(static_cast<std::size_t>(options.layers));
  }
  const nn::WeightLoader weights(*device, checkpoint, precision.weights_as_stored, config.stored_dtype,
                                 options.random_seed, weight_cache(*device, checkpoint, options),
                                 options.original == nullptr ? std::vector<nn::Tensor>{} : options.original->weights());
  const std::int64_t context = options.context > 0 ? options.context : std::min(config.max_positions, kDefaultContext);
  return std::make_unique<nn::DecoderModel>(device, config, names_in(checkpoint, config), weights,
                                            nn::DecoderModel::Options{.precision = precision,
                                                                      .context = context,
                                                                      .max_users = options.max_users,
                                                                      .execution = options.execution,
                                                                      .scheme = options.scheme,
                                                                      .progress = options.progress});
}

} // namespace tessera::models
