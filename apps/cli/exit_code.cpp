#include "apps/cli/exit_code.hpp"

#include <algorithm>
#include <new>

#include "tessera/base/error.hpp"

namespace tessera::cli {
namespace {

struct Kind {
  const char* name;
  ExitCode code;
};

template <typename E>
bool is(const std::exception& error) {
  return dynamic_cast<const E*>(&error) != nullptr;
}

Kind kind_of(const std::exception& error) {
  if (is<base::InvalidArgument>(error)) return {"InvalidArgument", EXIT_INVALID_ARGUMENT};
  if (is<base::IoError>(error)) return {"IoError", EXIT_IO_ERROR};
  if (is<base::OutOfMemory>(error)) return {"OutOfMemory", EXIT_OUT_OF_MEMORY};
  if (is<base::Unsupported>(error)) return {"Unsupported", EXIT_UNSUPPORTED};
  if (is<base::DeviceError>(error)) return {"DeviceError", EXIT_DEVICE_ERROR};
  if (is<Interrupted>(error)) return {"Interrupted", EXIT_INTERRUPTED};
  if (is<std::bad_alloc>(error)) return {"host memory", EXIT_OUT_OF_MEMORY};
  return {"other", EXIT_NO};
}

std::string text_of(const std::exception& error) {
  if (is<std::bad_alloc>(error)) return "[memory] more host memory is required; the system has none left";
  if (is<base::Error>(error) || is<Interrupted>(error)) return error.what();
  return fmt::format("[tessera] {}", error.what());
}

} // namespace

ExitCode exit_code(const std::exception& error) {
  return kind_of(error).code;
}

std::string kind_name(const std::exception& error) {
  return kind_of(error).name;
}

std::string one_line(const std::exception& error) {
  std::string text = text_of(error);
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7F; }, ' ');
  return text;
}

} // namespace tessera::cli
