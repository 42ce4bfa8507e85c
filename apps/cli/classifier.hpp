#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "apps/cli/model_options.hpp"
#include "tessera/image/preprocess.hpp"
#include "tessera/models/classifier.hpp"

namespace tessera::cli {

/// A classifier on the chips of a board, its items spread over the copies of it.
struct ClassifierOnBoard {
  std::shared_ptr<runtime::MeshDevice> mesh;
  std::unique_ptr<nn::ClassifierModel> model;
};

/// Opens the chips of the virtual board for as many copies as --dp says, by default as there are items for, each of as
/// many chips as --tp says, by default one, and puts a model on them. Throws InvalidArgument for options that a
/// classifier has no use for; errors as in models::load_classifier.
ClassifierOnBoard open_classifier(const ModelOptions& options, const checkpoint::Checkpoint& checkpoint,
                                  std::int64_t items, std::optional<std::uint64_t> random_seed = {});

/// Whether a checkpoint is that of a classifier: other commands have a way of their own for it.
bool is_classifier(const checkpoint::Checkpoint& checkpoint);

/// What the preprocessor_config.json beside the weights says; without it, torchvision's way for a checkpoint that has
/// no config.json either. Throws IoError when it is absent, and as image::read_preprocessing does.
image::Preprocessing preprocessing_of(const checkpoint::Checkpoint& checkpoint);

} // namespace tessera::cli
