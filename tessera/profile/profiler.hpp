#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tessera/profile/profile.hpp"
#include "tessera/runtime/mesh_device.hpp"

namespace tessera::profile {

/// Keeps what the queues of its devices run. A callback hashes the record and appends some 64 bytes and a span for each
/// thread to memory that is reserved beforehand; all else waits until `profile` is called.
class Profiler {
 public:
  /// Programs and spans of threads at most; what comes later is counted and dropped.
  static constexpr std::int64_t kMaxEvents = 1'000'000;

  /// With `predict`, profiles have a track of what each queue's ops would take on the card, below the queue's own.
  explicit Profiler(std::int64_t max_events = kMaxEvents, bool predict = false);
  ~Profiler(); ///< REQUIRES: all devices are detached
  Profiler(const Profiler&) = delete;
  Profiler& operator=(const Profiler&) = delete;

  /// Observes all queues of a device from here on, after the work that is queued now. REQUIRES: it is not attached.
  void attach(runtime::MeshDevice& device);
  /// Waits for the queued work and ends observing.
  void detach(runtime::MeshDevice& device);

  /// What the host is about from here on; ends the stage before.
  void begin_stage(std::string name);
  /// Ends the stage that runs, if one does.
  void end_stage();

  /// All that ran so far, the earliest at 0; the origin is left to the caller. REQUIRES: nothing runs on attached
  /// devices.
  Profile profile() const;

 private:
  class DeviceObserver;
  struct Stage {
    std::string name;
    runtime::ProgramRun::Time begin;
    runtime::ProgramRun::Time end;
  };

  const std::int64_t max_events_;
  const bool predict_;
  std::atomic<std::int64_t> events_{0}; // that were offered
  std::vector<std::unique_ptr<DeviceObserver>> devices_;
  std::vector<Stage> stages_;
  bool in_stage_ = false;
};

} // namespace tessera::profile
