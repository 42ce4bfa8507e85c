#pragma once

#include <string>

#include "apps/cli/json_output.hpp"
#include "apps/cli/model_options.hpp"
#include "tessera/checkpoint/checkpoint.hpp"

namespace tessera::cli {

/// What `tessera forward` does with a classifier.
struct ClassifierForwardOptions {
  ModelOptions model;
  std::string checkpoint;
  std::string input;
  std::string output;
  bool reference = false; ///< on libtorch, not on the device
  bool features = false;  ///< what every block gives is written too
};

/// Writes the logits, and the features if asked for; returns the program's exit code.
int forward_classifier(const ClassifierForwardOptions& options, const checkpoint::Checkpoint& checkpoint,
                       const JsonOutput& json);

} // namespace tessera::cli
