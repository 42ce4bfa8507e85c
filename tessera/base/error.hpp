#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace tessera::base {

/// Root of every error that Tessera throws.
///
/// The text reads `[op] what is required; what was received; what to do`. The library never prints or exits: an
/// application maps an error to one line and an exit code.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& text) : std::runtime_error(text) {}
};

/// The caller broke a rule: a shape, dtype, layout, option or configuration value that is not allowed.
class InvalidArgument : public Error {
  using Error::Error;
};
/// The card's memory is too small for what was asked.
class OutOfMemory : public Error {
  using Error::Error;
};
/// A file is absent, unreadable or damaged, or cannot be written.
class IoError : public Error {
  using Error::Error;
};
/// A valid request for something that is not built; the text names what is.
class Unsupported : public Error {
  using Error::Error;
};
/// Work on a device failed after it was queued.
class DeviceError : public Error {
  using Error::Error;
};

/// Throws `E` with a formatted text unless `condition` holds: `require<InvalidArgument>(n > 0, "[op] n must be ...;
/// received {}", n)`.
template <typename E = InvalidArgument, typename... Args>
void require(bool condition, fmt::format_string<Args...> text, Args&&... args) {
  if (!condition) throw E(fmt::format(text, std::forward<Args>(args)...));
}

} // namespace tessera::base
