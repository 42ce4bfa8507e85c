#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <vector>

namespace tessera::cli {

/// A subcommand of `tessera`.
struct Command {
  const char* name;
  const char* summary;  ///< what it does, for --help
  const char* examples; ///< shown below its options
  /// Adds the options to the subcommand's parser. What it returns runs the command once the options are parsed, and
  /// gives the program's exit code.
  std::function<int()> (*add)(CLI::App& app);
  bool on_several_ranks = false; ///< whether mpirun may start it
};

Command bringup_command();
Command tune_command();
Command export_command();
Command bisect_command();
Command chat_command();
Command generate_command();
Command forward_command();
Command classify_command();
Command tokenize_command();
Command detokenize_command();
Command plan_command();
Command predict_command();
Command bench_command();
Command profile_command();
Command replay_op_command();
Command report_command();
Command compare_command();
Command devices_command();
Command models_command();

/// All subcommands, in the order of --help.
std::vector<Command> all_commands();

} // namespace tessera::cli
