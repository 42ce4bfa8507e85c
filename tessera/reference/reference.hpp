#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "tessera/checkpoint/checkpoint.hpp"
#include "tessera/nn/causal_lm.hpp"
#include "tessera/nn/classifier/classifier.hpp"

namespace tessera::reference {

struct ReferenceOptions {
  int threads = 0;                     ///< 0: one per core. Holds for the whole process: libtorch has one pool.
  std::size_t memory_budget_bytes = 0; ///< For fp32 weights; 0: half of the available memory. What is beyond it is
                                       ///< widened anew at each use, layer by layer.
  std::int64_t max_users = 32;
  std::int64_t context = 0; ///< Positions per user; 0: the config's max_position_embeddings. Caches grow as needed.
  std::int64_t layers = 0;  ///< Keep only the first so many; 0: all.
};

/// True when Tessera was built with libtorch.
bool available();

/// A decoder of any family that it knows, in fp32 on libtorch on the CPU, computed from the model's
/// definition: the baseline that a device's results are judged by. It shares neither arithmetic nor the reading of
/// config.json with the device's models. Checks that every weight is there with its shape; widens none yet; the
/// checkpoint's files stay mapped. Both phases of run_module give the same values. Not safe for concurrent calls on one
/// object.
///
/// Throws InvalidArgument or Unsupported for the config, IoError for missing or misshapen weights, Unsupported, naming
/// the packages to install, when Tessera was built without libtorch.
std::unique_ptr<nn::CausalLM> open(const checkpoint::Checkpoint& checkpoint, const ReferenceOptions& options = {});

/// A classifier, BERT, ResNet or ViT, in fp32 on libtorch: as open. Features and modules have the names of the
/// device's. `threads` as in ReferenceOptions. Errors as in open.
std::unique_ptr<nn::Classifier> open_classifier(const checkpoint::Checkpoint& checkpoint, int threads = 0);

} // namespace tessera::reference
