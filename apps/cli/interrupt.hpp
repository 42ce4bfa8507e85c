#pragma once

#include <atomic>

namespace tessera::cli {

/// While it lives, the first Ctrl-C (or SIGTERM) sets a flag that long work looks at; a second one ends the program.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  static const std::atomic<bool>& flag();
  /// Throws Interrupted once the flag is set. For the callbacks of long work.
  static void check();
};

} // namespace tessera::cli
