#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>

#include "tessera/runtime/mesh_device.hpp"

namespace tessera::cli {

/// `--compare-ops`: the watch on every op of a process, bringup::OpComparison on all devices that its command opens.
/// Without the option all of it does nothing.
class OpWatch {
 public:
  /// --compare-ops[=DIR] and --compare-ops-strictness.
  static void add_options(CLI::App& app);
  /// Where an op is saved unless the option says.
  static void set_default_folder(const std::filesystem::path& folder);
  /// Watches a device from here on, once however often it is attached; `board` is as the user named it, for the command
  /// that replays an op. Throws Unsupported without libtorch, and where several ranks run the mesh.
  static void attach(runtime::MeshDevice& device, const std::string& board);
  /// Prints the summary, once the command's devices are gone. Returns the command's exit code: EXIT_NO in place of
  /// EXIT_OK where an op was below its threshold.
  static int finish(int exit_code);
};

} // namespace tessera::cli
