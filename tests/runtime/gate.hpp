#pragma once

#include <atomic>
#include <thread>

namespace tessera::runtime {

/// Holds a queue's thread until the test opens it.
class Gate {
 public:
  void open() { open_ = true; }
  void wait() const {
    entered_ = true;
    while (!open_) std::this_thread::yield();
  }
  /// Waits until somebody waits at the gate.
  void await_entered() const {
    while (!entered_) std::this_thread::yield();
  }

 private:
  std::atomic<bool> open_ = false;
  mutable std::atomic<bool> entered_ = false;
};

} // namespace tessera::runtime
