#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "apps/cli/model_options.hpp"
#include "tessera/models/classifier.hpp"

namespace tessera::cli {

/// A classifier on the chips of a board, its items spread over them.
struct ClassifierOnBoard {
  std::shared_ptr<runtime::MeshDevice> mesh;
  std::unique_ptr<nn::ClassifierModel> model;
};

/// Opens as many chips of the virtual board as --dp says, by default as there are items for, and puts a model on them.
/// Throws InvalidArgument for options that a classifier has no use for; errors as in
/// models::load_classifier.
ClassifierOnBoard open_classifier(const ModelOptions& options, const checkpoint::Checkpoint& checkpoint,
                                  std::int64_t items, std::optional<std::uint64_t> random_seed = {});

/// Whether a checkpoint is that of a classifier: other commands have a way of their own for it.
bool is_classifier(const checkpoint::Checkpoint& checkpoint);

} // namespace tessera::cli
