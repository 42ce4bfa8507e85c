#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/runtime/communicator.hpp"

namespace tessera::cli {

/// The process as one of several that mpirun started: rank 0 talks to the user, the others compute their chips and are
/// silent, but for errors. A rank that dies ends all others with an error that names it.
class Ranks {
 public:
  using Facts = std::vector<std::pair<std::string, std::string>>;

  /// Joins the other ranks where there are any. Throws Unsupported in a build without MPI.
  static void join();
  /// Tells the others that this rank ends, with an error or well, and waits for their end in the latter case.
  /// Returns the exit code, unless MPI would wait for ever: then the process ends here.
  static int leave(int exit_code);
  static void fail(std::string_view error) noexcept;

  /// For devices; null for the only process.
  static std::shared_ptr<runtime::Communicator> communicator();
  static bool several() { return communicator() != nullptr; }
  /// Whether this process writes what the command produces.
  static bool is_first();
  /// "rank 1: " on other ranks than the first: what their lines on standard error begin with.
  static std::string prefix();
  /// Threads that a device should have where the user names none: this rank's part of the host's processors. 0: all.
  static int default_threads();
  /// Throws InvalidArgument, on all ranks, with what differs, unless all ranks have the same.
  static void require_same(const Facts& facts);
};

} // namespace tessera::cli
