#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace tessera::test {

/// What a run of the program `tessera` printed, and how it ended.
struct ProgramRun {
  int exit_code = 0; ///< minus the signal's number when a signal ended it
  std::string output;
  std::string error;

  /// Lines on standard error.
  std::size_t error_lines() const;
};

/// Runs the program that was built beside the tests, `input` on its standard input, and waits for its end.
/// `while_running`, when given, is called after the start with the process's id and the file that gets its output.
ProgramRun run_tessera(const std::vector<std::string>& arguments, const std::string& input = "",
                       const std::function<void(int, const std::filesystem::path&)>& while_running = {});
/// The same for any program, `words[0]` being its path.
ProgramRun run_program(std::vector<std::string> words, const std::string& input = "",
                       const std::function<void(int, const std::filesystem::path&)>& while_running = {});

} // namespace tessera::test
