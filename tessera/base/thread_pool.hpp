#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

namespace tessera::base {

/// Tells the processor that a loop waits for another thread.
inline void spin_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// Binds the calling thread to processor number `place` of those that the process may use, counted around. A wish:
/// where the system refuses, nothing happens.
void pin_this_thread(int place);

/// When a thread worked on a job.
struct WorkSpan {
  int thread = 0; ///< 0: the caller of parallel_for; 1 and more: the pool's workers
  std::chrono::steady_clock::time_point begin;
  std::chrono::steady_clock::time_point end;
};

/// Who worked when, job after job. Looking at the clock is a good part of what small jobs cost, so a moment is looked
/// up once: a job on the calling thread alone begins at `now`.
struct WorkTimes {
  std::chrono::steady_clock::time_point now; ///< set by the caller before the first job, by each job to its end
  std::vector<WorkSpan> spans;
};

/// Worker threads that share out numbered units of work. The caller of `parallel_for` works too, so a pool of two
/// threads owns one. Several threads may call `parallel_for` at the same time: workers help any of them as long as
/// callers and workers together are no more than the pool's threads, and leave between two units when they are more. So
/// one caller has all threads, and as many callers as threads have one each.
class ThreadPool {
 public:
  /// `threads` counts the caller: 1 means that everything runs on the calling thread. REQUIRES: threads >= 1.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  /// The pool of the process, with one thread for each processor that it may use when the pool is first asked for.
  static ThreadPool& shared();

  int threads() const { return threads_; }
  /// Whether all threads are at work: who waits for something had better sleep.
  bool is_full() const { return active_.load(std::memory_order_relaxed) >= threads(); }

  /// Binds worker i, from 1 on, to processor i of those that the process may use; the callers of parallel_for are for
  /// processor 0. A worker begins each job with the same share, so that with its processor it stays near the memory
  /// that it was the first to write, on a machine where memory belongs to processors.
  void pin_workers();

  /// Calls body(unit) once for each unit in 0..units, on at most `max_threads` threads, and returns when all have
  /// ended. A thread runs neighbouring units where it can; which one it is for a unit is not determined. The first
  /// exception that a body throws is rethrown after all running units have ended; units not yet begun are dropped then.
  /// Appends to `times`, unless it is null, one span for each thread that took part.
  void parallel_for(std::int64_t units, int max_threads, const std::function<void(std::int64_t)>& body,
                    WorkTimes* times = nullptr);

 private:
  /// Units that one thread begins with, so that it walks through neighbouring memory. It takes them from the front;
  /// others that have run out take from the back.
  class alignas(64) Share {
   public:
    void set(std::uint32_t first, std::uint32_t end) { range_.store(pack(first, end), std::memory_order_relaxed); }
    /// A unit, or -1 when none is left.
    std::int64_t take_first();
    std::int64_t take_last();
    bool empty() const;

    WorkSpan span; // of the thread that owns the share

   private:
    static std::uint64_t pack(std::uint32_t first, std::uint32_t end) { return std::uint64_t{end} << 32 | first; }

    std::atomic<std::uint64_t> range_{0};
  };
  struct Job {
    Job(const std::function<void(std::int64_t)>& work, int threads, bool with_spans);

    const std::function<void(std::int64_t)>* body;
    int helpers_wanted; // guarded by mutex_
    bool timed;
    std::array<Share, 16> few; // in place, so that a job on an ordinary machine costs no allocation
    std::vector<Share> many;   // on one with more threads
    std::span<Share> shares;   // of one of the two: the caller's and one for each helper
    std::atomic<int> joined{1};
    std::atomic<int> helping{0};
    std::atomic<bool> failed{false};
    std::exception_ptr error; // written by the first to set `failed`
  };

  void run(Job& job, std::size_t place, int thread);
  static void run_unit(Job& job, std::int64_t unit);
  /// A unit of the job for a thread whose share is number `own_share`, or -1.
  static std::int64_t take_unit(Job& job, std::size_t own_share);
  Job* take_job(); // REQUIRES: mutex_ is held
  void work(int thread);

  const int threads_; // a worker asks while others are still being made
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Job*> jobs_;               // guarded by mutex_: jobs that want helpers
  std::atomic<int> active_{0};           // callers of parallel_for and workers that help
  std::atomic<std::uint64_t> posted_{0}; // number of jobs ever posted: what an idle worker spins on
  bool stopping_ = false;                // guarded by mutex_
  std::atomic<bool> stop_spinning_{false};
  std::vector<std::thread> workers_;
};

} // namespace tessera::base
