#include "tessera/base/thread_pool.hpp"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "tessera/base/error.hpp"

namespace tessera::base {
namespace {

using Clock = std::chrono::steady_clock;

// A worker that has just ended a job looks this often for the next one before it sleeps: some 50 microseconds, the gap
// between two steps. A sleeping thread costs as much to wake.
constexpr int kSpins = 5000;

/// Processors that the process may use, as they were before any thread was bound.
const std::vector<int>& processors() {
  static const std::vector<int> allowed = [] {
    std::vector<int> found;
    cpu_set_t set;
    if (::sched_getaffinity(::getpid(), sizeof set, &set) != 0) return found;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) found.push_back(cpu);
    }
    return found;
  }();
  return allowed;
}

void pin(pthread_t thread, int place) {
  if (processors().empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processors()[static_cast<std::size_t>(place) % processors().size()], &set);
  ::pthread_setaffinity_np(thread, sizeof set, &set);
}

/// Counts one thread at work while it lives.
class AtWork {
 public:
  explicit AtWork(std::atomic<int>& active) : active_(active) { active_.fetch_add(1, std::memory_order_relaxed); }
  ~AtWork() { active_.fetch_sub(1, std::memory_order_relaxed); }
  AtWork(const AtWork&) = delete;
  AtWork& operator=(const AtWork&) = delete;

 private:
  std::atomic<int>& active_;
};

} // namespace

void pin_this_thread(int place) {
  pin(::pthread_self(), place);
}

ThreadPool::ThreadPool(int threads) : threads_(threads) {
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
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
  static ThreadPool pool(std::max(1, static_cast<int>(processors().size())));
  return pool;
}

void ThreadPool::pin_workers() {
  for (std::size_t i = 0; i < workers_.size(); ++i) pin(workers_[i].native_handle(), static_cast<int>(i) + 1);
}

std::int64_t ThreadPool::Share::take_first() {
  std::uint64_t range = range_.load(std::memory_order_relaxed);
  for (;;) {
    const auto first = static_cast<std::uint32_t>(range);
    const auto end = static_cast<std::uint32_t>(range >> 32);
    if (first >= end) return -1;
    if (range_.compare_exchange_weak(range, pack(first + 1, end), std::memory_order_relaxed)) return first;
  }
}

std::int64_t ThreadPool::Share::take_last() {
  std::uint64_t range = range_.load(std::memory_order_relaxed);
  for (;;) {
    const auto first = static_cast<std::uint32_t>(range);
    const auto end = static_cast<std::uint32_t>(range >> 32);
    if (first >= end) return -1;
    if (range_.compare_exchange_weak(range, pack(first, end - 1), std::memory_order_relaxed)) return end - 1;
  }
}

bool ThreadPool::Share::empty() const {
  const std::uint64_t range = range_.load(std::memory_order_relaxed);
  return static_cast<std::uint32_t>(range) >= static_cast<std::uint32_t>(range >> 32);
}

ThreadPool::Job::Job(const std::function<void(std::int64_t)>& work, int threads, bool with_spans)
    : body(&work), helpers_wanted(threads - 1), timed(with_spans) {
  const auto count = static_cast<std::size_t>(threads);
  if (count > few.size()) many = std::vector<Share>(count);
  shares = count > few.size() ? std::span<Share>(many) : std::span<Share>(few).first(count);
}

void ThreadPool::run_unit(Job& job, std::int64_t unit) {
  if (job.failed.load(std::memory_order_relaxed)) return;
  try {
    (*job.body)(unit);
  } catch (...) {
    if (!job.failed.exchange(true)) job.error = std::current_exception();
  }
}

std::int64_t ThreadPool::take_unit(Job& job, std::size_t own_share) {
  std::int64_t unit = job.shares[own_share].take_first();
  for (std::size_t i = 1; unit < 0 && i < job.shares.size(); ++i)
    unit = job.shares[(own_share + i) % job.shares.size()].take_last();
  return unit;
}

void ThreadPool::run(Job& job, std::size_t place, int thread) {
  // The same share for the same thread, job after job: where memory belongs to processors, a thread finds near what it
  // wrote before.
  const std::size_t own_share = static_cast<std::size_t>(thread) % job.shares.size();
  WorkSpan& span = job.shares[place].span;
  if (job.timed) span = {.thread = thread, .begin = Clock::now(), .end = {}};
  const auto may_stay = [&] { return thread == 0 || active_.load(std::memory_order_relaxed) <= threads(); };
  while (may_stay()) {
    const std::int64_t unit = take_unit(job, own_share);
    if (unit < 0) break;
    run_unit(job, unit);
  }
  if (job.timed) span.end = Clock::now();
}

void ThreadPool::parallel_for(std::int64_t units, int max_threads, const std::function<void(std::int64_t)>& body,
                              WorkTimes* times) {
  const AtWork at_work(active_);
  const auto useful = static_cast<int>(std::min<std::int64_t>({units, max_threads, threads()}));
  if (useful <= 1) {
    for (std::int64_t unit = 0; unit < units; ++unit) body(unit);
    if (times == nullptr) return;
    const Clock::time_point begin = std::exchange(times->now, Clock::now());
    times->spans.push_back({.thread = 0, .begin = begin, .end = times->now});
    return;
  }
  // A share's bounds are halves of one atomic word.
  require(units <= std::numeric_limits<std::uint32_t>::max(),
          "[thread_pool] at most 2^32 - 1 units are possible; received {}", units);
  Job job(body, useful, times != nullptr);
  for (std::int64_t i = 0; i < useful; ++i) {
    job.shares[static_cast<std::size_t>(i)].set(static_cast<std::uint32_t>(units * i / useful),
                                                static_cast<std::uint32_t>(units * (i + 1) / useful));
  }
  // Workers are asked only when one may come: waking one costs as much as a small job.
  const bool ask = !is_full();
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(&job);
    if (ask) posted_.fetch_add(1, std::memory_order_release);
  }
  if (ask) wake_.notify_all();
  run(job, 0, 0);
  {
    std::lock_guard lock(mutex_);
    std::erase(jobs_, &job); // nobody joins from here on
  }
  for (int spin = 0; job.helping.load(std::memory_order_acquire) > 0; ++spin) {
    // A helper still runs its last unit. Yield in the end: it may share this core.
    if (spin < kSpins) {
      spin_pause();
    } else {
      std::this_thread::yield();
    }
  }
  if (job.error) std::rethrow_exception(job.error);
  if (times == nullptr) return;
  const auto joined = static_cast<std::size_t>(job.joined.load(std::memory_order_relaxed));
  for (const Share& share : job.shares.first(joined)) times->spans.push_back(share.span);
  times->now = Clock::now();
}

ThreadPool::Job* ThreadPool::take_job() {
  if (is_full()) return nullptr;
  for (Job* job : jobs_) {
    const bool work_left = std::ranges::any_of(job->shares, [](const Share& share) { return !share.empty(); });
    if (job->helpers_wanted > 0 && work_left) {
      --job->helpers_wanted;
      job->helping.fetch_add(1, std::memory_order_relaxed);
      active_.fetch_add(1, std::memory_order_relaxed);
      return job;
    }
  }
  return nullptr;
}

void ThreadPool::work(int thread) {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (Job* job = take_job()) {
      lock.unlock();
      run(*job, static_cast<std::size_t>(job->joined.fetch_add(1, std::memory_order_relaxed)), thread);
      active_.fetch_sub(1, std::memory_order_relaxed);
      job->helping.fetch_sub(1, std::memory_order_release);
      const std::uint64_t seen = posted_.load(std::memory_order_acquire);
      for (int spin = 0;
           spin < kSpins && posted_.load(std::memory_order_acquire) == seen && !stop_spinning_ && !is_full(); ++spin)
        spin_pause();
      lock.lock();
    } else {
      wake_.wait(lock);
    }
  }
}

} // namespace tessera::base
