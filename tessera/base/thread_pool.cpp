#include "tessera/base/thread_pool.hpp"

#include <algorithm>

namespace tessera::base {
namespace {

// A worker that has just ended a job looks this often for the next one before it sleeps: some 20 microseconds, the gap
// between two ops of a decode step. A sleeping thread costs about 50 to wake.
constexpr int kSpins = 2000;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

} // namespace

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_spinning_ = true;
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

ThreadPool& ThreadPool::shared() {
  static ThreadPool pool(static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
  return pool;
}

void ThreadPool::run(Job& job) {
  for (;;) {
    const std::int64_t unit = job.next.fetch_add(1, std::memory_order_relaxed);
    if (unit >= job.units || job.failed.load(std::memory_order_relaxed)) return;
    try {
      (*job.body)(unit);
    } catch (...) {
      if (!job.failed.exchange(true)) job.error = std::current_exception();
    }
  }
}

void ThreadPool::parallel_for(std::int64_t units, int max_threads, const std::function<void(std::int64_t)>& body) {
  const auto useful = static_cast<int>(std::min<std::int64_t>({units, max_threads, threads()}));
  Job job{.body = &body, .units = units, .helpers_wanted = useful - 1};
  if (useful > 1) {
    {
      std::lock_guard lock(mutex_);
      jobs_.push_back(&job);
      posted_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
  }
  run(job);
  if (useful > 1) {
    {
      std::lock_guard lock(mutex_);
      std::erase(jobs_, &job); // nobody joins from here on
    }
    for (int spin = 0; job.helping.load(std::memory_order_acquire) > 0; ++spin) {
      // A helper still runs its last unit. Yield in the end: it may share this core.
      if (spin < kSpins) {
        pause();
      } else {
        std::this_thread::yield();
      }
    }
  }
  if (job.error) std::rethrow_exception(job.error);
}

ThreadPool::Job* ThreadPool::take_job() {
  for (Job* job : jobs_) {
    if (job->helpers_wanted > 0 && job->next.load(std::memory_order_relaxed) < job->units) {
      --job->helpers_wanted;
      job->helping.fetch_add(1, std::memory_order_relaxed);
      return job;
    }
  }
  return nullptr;
}

void ThreadPool::work() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (Job* job = take_job()) {
      lock.unlock();
      run(*job);
      job->helping.fetch_sub(1, std::memory_order_release);
      const std::uint64_t seen = posted_.load(std::memory_order_acquire);
      for (int spin = 0; spin < kSpins && posted_.load(std::memory_order_acquire) == seen && !stop_spinning_; ++spin)
        pause();
      lock.lock();
    } else {
      wake_.wait(lock);
    }
  }
}

} // namespace tessera::base
