#pragma once

#include <string>
#include <vector>

#include "apps/cli/model_options.hpp"
#include "tessera/bringup/vision.hpp"

namespace tessera::cli {

struct ImageBringupOptions {
  ModelOptions model;
  std::vector<std::string> stages;
  std::string report;
};

/// What `tessera bringup` does with an image classifier. Its images are those of `heldout.safetensors` beside the
/// weights (pixel_values, and labels where it has them), else random ones.
bringup::Report bringup_images(const ImageBringupOptions& options, const checkpoint::Checkpoint& checkpoint,
                               bringup::Progress& progress);

} // namespace tessera::cli
