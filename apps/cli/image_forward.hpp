#pragma once

#include <string>

#include "apps/cli/json_output.hpp"
#include "apps/cli/model_options.hpp"

namespace tessera::cli {

/// What `tessera forward` does with a file that holds pixel_values.
struct ImageForwardOptions {
  ModelOptions model;
  std::string checkpoint;
  std::string input;
  std::string output;
  bool reference = false; ///< on libtorch, not on the device
  bool features = false;  ///< what every block gives is written too
};

/// Whether a safetensors file holds pixel_values. Throws IoError when it cannot be read.
bool holds_pixel_values(const std::string& path);
/// Writes the logits, and the features if asked for; returns the program's exit code.
int forward_images(const ImageForwardOptions& options, const JsonOutput& json);

} // namespace tessera::cli
