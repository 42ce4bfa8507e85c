#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "tessera/models/load.hpp"
#include "tessera/runtime/mesh_device.hpp"

namespace tessera::cli {

/// The options of every command that runs a model.
struct ModelOptions {
  std::string board = "n150";
  std::string numerics = "native";
  std::string precision = "accuracy";
  std::int64_t context = 0;
  std::int64_t dp = 1;
  std::int64_t tp = 1;
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

/// Where converted weights are kept: --weight-cache, else $TESSERA_CACHE, else ~/.cache/tessera; no folder for "off".
nn::WeightCacheOptions weight_cache_of(const ModelOptions& options);

/// The board by its name, cut down to the one chip that a model runs on. Throws InvalidArgument for an unknown board,
/// Unsupported for data or tensor parallelism over more than one chip.
BoardSpec one_chip_of(const ModelOptions& options);

/// Opens the virtual card. Throws InvalidArgument for values that are not allowed, Unsupported for what is not built.
std::shared_ptr<runtime::MeshDevice> open_device(const ModelOptions& options, runtime::RunMode mode);

/// Puts a model on a device, with progress on a terminal; Ctrl-C ends it by Interrupted where an InterruptGuard lives.
std::unique_ptr<nn::DecoderModel> load_model(std::shared_ptr<runtime::MeshDevice> device,
                                             const checkpoint::Checkpoint& checkpoint, models::LoadOptions options);

} // namespace tessera::cli
