#pragma once

#include <exception>
#include <stdexcept>
#include <string>

namespace tessera::cli {

/// What `tessera` exits with. docs/errors.md lists them for users.
enum ExitCode : int {
  EXIT_OK = 0,
  EXIT_NO = 1, ///< it ran and the answer is no: a stage failed, a plan does not fit; or an error of no other kind
  EXIT_INVALID_ARGUMENT = 2,
  EXIT_IO_ERROR = 3,
  EXIT_OUT_OF_MEMORY = 4,
  EXIT_UNSUPPORTED = 5,
  EXIT_DEVICE_ERROR = 6,
  EXIT_INTERRUPTED = 7,
};

/// Ctrl-C was pressed.
class Interrupted : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The exit code for an error, by its kind.
ExitCode exit_code(const std::exception& error);
/// The kind's name, for --verbose: "InvalidArgument".
std::string kind_name(const std::exception& error);
/// The error as one line: control characters become spaces.
std::string one_line(const std::exception& error);

} // namespace tessera::cli
