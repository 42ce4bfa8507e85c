#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace tessera::base {

/// Worker threads that share out numbered units of work. The caller of `parallel_for` works too, so a pool of two
/// threads owns one. Several threads may call `parallel_for` at the same time; idle workers help any of them.
class ThreadPool {
 public:
  /// `threads` counts the caller: 1 means that everything runs on the calling thread. REQUIRES: threads >= 1.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  /// The pool of the process, with one thread for each hardware thread.
  static ThreadPool& shared();

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls body(unit) once for each unit in 0..units, on at most `max_threads` threads, and returns when all have
  /// ended. Which thread runs which unit is not determined. The first exception that a body throws is rethrown after
  /// all running units have ended; units not yet begun are dropped then.
  void parallel_for(std::int64_t units, int max_threads, const std::function<void(std::int64_t)>& body);

 private:
  struct Job {
    const std::function<void(std::int64_t)>* body;
    std::int64_t units;
    int helpers_wanted; // guarded by mutex_
    std::atomic<std::int64_t> next{0};
    std::atomic<int> helping{0};
    std::atomic<bool> failed{false};
    std::exception_ptr error; // written by the first to set `failed`
  };

  static void run(Job& job);
  Job* take_job(); // REQUIRES: mutex_ is held
  void work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Job*> jobs_;               // guarded by mutex_: jobs that want helpers
  std::atomic<std::uint64_t> posted_{0}; // number of jobs ever posted: what an idle worker spins on
  bool stopping_ = false;                // guarded by mutex_
  std::atomic<bool> stop_spinning_{false};
  std::vector<std::thread> workers_;
};

} // namespace tessera::base
