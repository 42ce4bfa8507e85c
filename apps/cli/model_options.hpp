#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/cli/memory_plan.hpp"
#include "tessera/models/load.hpp"
#include "tessera/models/parallelism.hpp"
#include "tessera/runtime/mesh_device.hpp"

namespace tessera::cli {

/// The options of every command that runs a model.
struct ModelOptions {
  std::string board = "n150";
  std::string numerics = "native";
  std::string precision = "accuracy";
  std::int64_t context = 0;
  std::optional<std::int64_t> dp; ///< none: as many copies as there are users and chips for
  std::string tp;                 ///< "4" or "2x4" (models::parse_tensor_parallelism); empty: as few chips as it fits
  int threads = 0;
  bool pin_threads = false;
  std::string weight_cache; ///< folder, "off", or empty: the default folder
  bool no_trace = false;
  int command_queues = 1;
  std::int64_t trace_region_size = 0;

  void add(CLI::App& app);
  /// What the commands that generate tokens take besides.
  void add_trace_options(CLI::App& app);
};

/// native or exact. Throws InvalidArgument for anything else.
runtime::Numerics parse_numerics(const std::string& name);

/// Where converted weights are kept: --weight-cache, else $TESSERA_CACHE, else ~/.cache/tessera; no folder for "off".
nn::WeightCacheOptions weight_cache_of(const ModelOptions& options);

/// A model on the chips of a board.
struct ModelOnBoard {
  std::shared_ptr<runtime::MeshDevice> mesh;
  models::Parallelism parallelism;
  std::unique_ptr<nn::DataParallel> model;

  /// The devices of the copies.
  std::vector<runtime::MeshDevice*> devices() const;
};

/// Opens the virtual board, shared out as plan_board says, and puts a model on it, with progress on a terminal; Ctrl-C
/// ends it by Interrupted where an InterruptGuard lives. Throws InvalidArgument for values that are not allowed,
/// Unsupported for what is not built, OutOfMemory when no part of the board holds the model.
ModelOnBoard open_model(const ModelOptions& options, const checkpoint::Checkpoint& checkpoint,
                        models::LoadOptions load);

} // namespace tessera::cli
