#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "tessera/runtime/observer.hpp"
#include "tessera/runtime/program.hpp"

namespace tessera::runtime {

/// Runs programs in order, asynchronously, on a thread of its own that is one of the device's worker threads.
///
/// `enqueue` returns at once. The first program that fails ends the work: what follows is dropped until `synchronize`
/// rethrows the error, after which the queue is usable again. Enqueueing and observers are for one host thread at a
/// time.
class CommandQueue {
 public:
  /// In record mode nothing runs: observers see the records, and that is all.
  CommandQueue(MeshDevice& device, std::int64_t chips, int threads, bool record_only);
  /// Ends the program that runs and drops the rest.
  ~CommandQueue();
  CommandQueue(const CommandQueue&) = delete;
  CommandQueue& operator=(const CommandQueue&) = delete;

  /// Queues a program. `make_record` returns its OpRecord and is called, here, only when somebody observes.
  template <typename MakeRecord>
  void enqueue(Program program, MakeRecord&& make_record) {
    if (observed()) {
      program.record = make_record();
      program.record.name = program.name;
      program.record.scope = program.scope;
    }
    submit(std::move(program));
  }

  /// Waits until all queued work has ended; rethrows the first error as DeviceError with the op's name.
  void synchronize();

  /// Waits for queued work, then adds or removes an observer. The observer must outlive its place in the queue.
  void add_observer(QueueObserver& observer);
  void remove_observer(QueueObserver& observer);
  bool observed() const { return !observers_.empty(); }

  int threads() const { return threads_; }

 private:
  struct Free {
    void operator()(std::byte* memory) const;
  };

  void submit(Program program);
  void dispatch();
  void run(const Program& program);
  void execute_stages(const Program& program);
  void wait_until_idle(std::unique_lock<std::mutex>& lock);
  std::byte* scratch(std::int64_t bytes);

  MeshDevice& device_;
  const std::int64_t chips_;
  const int threads_;
  const bool record_only_;
  std::vector<QueueObserver*> observers_; // changed only while the queue is idle

  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable idle_;
  std::deque<Program> pending_; // guarded by mutex_
  bool running_ = false;        // guarded by mutex_: a program has been taken and has not ended
  bool stopping_ = false;       // guarded by mutex_
  std::exception_ptr error_;    // guarded by mutex_

  std::unique_ptr<std::byte, Free> scratch_; // dispatcher only
  std::int64_t scratch_bytes_ = 0;
  std::thread dispatcher_;
};

} // namespace tessera::runtime
