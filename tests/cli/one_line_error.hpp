#pragma once

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "tests/cli/program.hpp"

namespace tessera::test {

/// The program's rule for errors: nothing on standard output, one line on standard error that begins with "error: [",
/// this exit code; and the line holds each of `parts`.
inline ::testing::AssertionResult fails_saying(const ProgramRun& run, int exit_code,
                                               const std::vector<std::string>& parts) {
  const auto failure = [&](const std::string& what) {
    return ::testing::AssertionFailure() << what << "; exit code " << run.exit_code
                                         << "\nstandard output: " << run.output << "\nstandard error: " << run.error;
  };
  if (run.exit_code != exit_code) return failure("expected exit code " + std::to_string(exit_code));
  if (!run.output.empty()) return failure("expected nothing on standard output");
  if (run.error_lines() != 1 || !run.error.ends_with('\n')) return failure("expected one line on standard error");
  if (!run.error.starts_with("error: [")) return failure("expected a line that begins with \"error: [\"");
  for (const std::string& part : parts) {
    if (run.error.find(part) == std::string::npos) return failure("expected \"" + part + "\" in the line");
  }
  return ::testing::AssertionSuccess();
}

} // namespace tessera::test
