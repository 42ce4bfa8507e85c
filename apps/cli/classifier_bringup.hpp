#pragma once

#include <string>
#include <vector>

#include "apps/cli/model_options.hpp"
#include "tessera/bringup/classifier.hpp"

namespace tessera::cli {

struct ClassifierBringupOptions {
  std::string name; ///< of the checkpoint, as the user called it
  ModelOptions model;
  std::vector<std::string> stages;
  std::string report;
};

/// What `tessera bringup` does with a classifier. Its items are those of `heldout.safetensors` beside the weights (as
/// `forward` reads them, and `labels` where it has them), else random ones.
bringup::Report bringup_classifier(const ClassifierBringupOptions& options, const checkpoint::Checkpoint& checkpoint,
                                   bringup::Progress& progress);

} // namespace tessera::cli
